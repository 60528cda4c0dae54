"""What is archived comes back equal, and nothing that is not an archive is believed."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from data import archive
from data.records import FloatArray


@dataclass(frozen=True)
class Inner:
    name: str
    size: float | None


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    inner: tuple[Inner, ...]
    pair: tuple[int, str]
    table: Mapping[tuple[str, str], Inner]
    free: Mapping[str, Any]
    array: FloatArray
    frame: pd.DataFrame
    late: str = "default"


def outer(names: list[str], numbers: list[float]) -> Outer:
    inner = tuple(Inner(name, None if i % 2 else float(i)) for i, name in enumerate(names))
    table = {(name, str(i)): Inner(name, 1.0) for i, name in enumerate(names)}
    frame = pd.DataFrame({"ts": pd.date_range("2026-01-01", periods=3, tz="UTC"), "text": ["=1", "", "é"]})
    return Outer("b", inner, (3, "x"), table, {"deep": [1, {"a": None}]}, np.array(numbers), frame)


@settings(max_examples=10)
@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.floats(), max_size=5))
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, names: list[str], numbers: list[float]) -> None:
    path = tmp_path_factory.mktemp("archive") / "one.zip"
    before = outer(names, numbers)
    archive.save(before, path)
    after = archive.load(Outer, path)
    assert (after.kind, after.inner, after.pair, after.table) == (before.kind, before.inner, before.pair, before.table)
    assert after.free == before.free
    np.testing.assert_array_equal(after.array, before.array)
    pd.testing.assert_frame_equal(after.frame, before.frame)


def test_equal_records_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        archive.save(outer(["x"], [1.0]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [b"", b"no zip", pickle.dumps({"a": 1})])
def test_what_is_no_archive_is_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match="plan again"):
        archive.load(Outer, path)


def test_arrays_with_code_in_them_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    archive.save(outer([], [1.0]), path)
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as made:
        for name, content in members.items():
            made.writestr(name, (tmp_path / "evil.npy").read_bytes() if name.endswith(".npy") else content)
    with pytest.raises(InputError):
        archive.load(Outer, path)


def test_an_older_record_gets_defaults_and_a_missing_field_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    archive.save(outer([], []), path)
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    for gone, fails in (("late", False), ("kind", True)):
        document = json.loads(members["record.json"])
        del document["value"][gone]
        with zipfile.ZipFile(path, "w") as made:
            for name, content in members.items():
                made.writestr(name, json.dumps(document) if name == "record.json" else content)
        if fails:
            with pytest.raises(InputError, match="kind is not in it"):
                archive.load(Outer, path)
        else:
            assert archive.load(Outer, path).late == "default"
