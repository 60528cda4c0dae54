"""Damaged inputs of every format: an answer for every row or for the file, never a traceback, never a silent loss."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import opened
from data.ingestion import ingest_files
from tests.data.engine_exports import scrape, served, sglang, triton
from tests.data.ingest_files import AZURE, csv_text

ROWS = [(f"2026-01-05 10:{i // 60:02d}:{i % 60:02d}.5", 100 + 7 * i, 1 + i % 90) for i in range(120)]
NAMES = (
    '=cmd|"/C calc"!A0',
    "+SUM(A1:A9)",
    "@x",
    "-1+1",
    "a,b",
    'q"uote',
    "naïve",
    "日本",
    "'; DROP TABLE requests; --",
    "\t=1",
)


def _parquet() -> bytes:
    out = io.BytesIO()
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(AZURE)}
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def _prometheus() -> bytes:
    start = 1_767_607_200
    series = [
        {
            "metric": {"__name__": name, "model_name": tenant, "instance": "a"},
            "values": [[start + 15 * i, str(7 * i)] for i in range(40)],
        }
        for name in ("vllm:prompt_tokens_total", "vllm:request_success_total", "vllm:num_requests_running")
        for tenant in NAMES[:2]
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}, indent=1).encode()


def _otel() -> bytes:
    spans = [
        {
            "name": "chat",
            "spanId": f"{i}",
            "startTimeUnixNano": str(1_767_607_200_000_000_000 + i),
            "endTimeUnixNano": "0",
            "attributes": {
                "gen_ai.usage.input_tokens": i,
                "gen_ai.usage.output_tokens": 5,
                "tenant": NAMES[i % len(NAMES)],
            },
        }
        for i in range(60)
    ]
    return "".join(json.dumps(span) + "\n" for span in spans).encode()


def _mooncake() -> bytes:
    rows = [
        {"timestamp": 250 * i, "input_length": 1500, "output_length": 9, "hash_ids": [0, i % 5, i]} for i in range(80)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _array() -> bytes:
    rows = [
        {"time": f"{at}Z", "usage": {"prompt_tokens": i, "completion_tokens": o}, "tenant": NAMES[i % 10]}
        for at, i, o in ROWS
    ]
    return json.dumps(rows, indent=1).encode()


def _engine(series: list[dict[str, Any]]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}).encode()


FILES = {
    "array": _array(),
    "sglang": _engine(sglang(served(1, 0.2), scrape(0.2, restart_h=0.1))),
    "triton": _engine(triton(served(2, 0.2), scrape(0.2, gap_h=(0.05, 0.1)))),
    "azure": csv_text(AZURE, ROWS).encode(),
    "tenants": csv_text((*AZURE, "tenant"), [(*row, NAMES[i % len(NAMES)]) for i, row in enumerate(ROWS)]).encode(),
    "gzip": gzip.compress(csv_text(AZURE, ROWS).encode(), mtime=0),
    "hourly": csv_text(("day", "hour", "chat", "api"), [(i // 24, i % 24, i, 2 * i) for i in range(72)]).encode(),
    "mooncake": _mooncake(),
    "otel": _otel(),
    "prometheus": _prometheus(),
    "parquet": _parquet(),
}
LINES = ("azure", "tenants", "hourly", "mooncake")
"""Formats of one row a line, whose rows can be counted without reading them."""
ABSURD = (
    b"1e999",
    b"-1e308",
    b"99999999999999999999",
    b"NaN",
    b"",
    b"0x7f",
    b"1_000",
    b"\xff\xfe\x00",
    b'"',
    b"\r",
    b"null",
    b"{}",
)


@st.composite
def damage(draw: st.DrawFn) -> tuple[str, bytes, list[str]]:
    """A format, its damaged bytes, and what was done to them."""
    name = draw(st.sampled_from(sorted(FILES)))
    raw = bytearray(FILES[name])
    done = []
    for kind in draw(
        st.lists(st.sampled_from(["flip", "cut", "number", "double", "long", "recode"]), min_size=1, max_size=3)
    ):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        done.append(f"{kind} at {at}")
        if kind == "flip":
            for _ in range(draw(st.integers(1, 20))):
                if raw:
                    raw[draw(st.integers(0, len(raw) - 1))] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del raw[at:]
        elif kind == "number":
            end = min(at + draw(st.integers(0, 6)), len(raw))
            raw[at:end] = draw(st.sampled_from(ABSURD))
        elif kind == "double":
            raw[at:at] = raw[: draw(st.integers(0, len(raw)))]
        elif kind == "long":
            raw[at:at] = b"x" * draw(st.integers(1, 1 << 21))
        else:
            encoding = draw(st.sampled_from(["utf-16", "latin-1", "utf-8-sig", "cp500"]))
            raw = bytearray(raw.decode("utf-8", errors="replace").encode(encoding, errors="replace"))
    return name, bytes(raw), done


def rows_by_eye(raw: bytes) -> int | None:
    """Rows of a text of one row a line, header and blank lines aside; None where the encoding was changed."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b") or raw[:4] == b"PAR1":
        return None
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    lines = raw.split(b"\n")
    return (
        sum(bool(line.strip(b" \t\r\x0b\x0c")) for line in lines[1:])
        if not raw.lstrip().startswith((b"{", b"["))
        else None
    )


def check(name: str, raw: bytes) -> str:
    """Ingests damaged bytes and checks the books; how it ended."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(raw)
        (answer,) = ingest_files([path], Path(folder) / "out")
        if answer.source is None:
            assert answer.error
            return "refused"
        source = answer.source
        assert source.rows_in == source.kept + source.repaired + source.rejected
        assert min(source.kept, source.repaired, source.rejected, source.new) >= 0
        assert sum(source.reasons.values()) == source.rejected
        if source.rejected:
            assert answer.rejects is not None
            records = [json.loads(line) for line in answer.rejects.read_text(encoding="utf-8").splitlines()]
            assert sum(record["rows"] for record in records) == source.rejected
            assert all(record["reason"] in source.reasons for record in records)
        by_eye = rows_by_eye(raw)
        if by_eye is not None and source.format in ("azure", "request_log", "burstgpt_hourly"):
            assert source.rows_in == by_eye
        with opened(Path(folder) / "out") as (_, connection):
            stored = connection.execute(
                "SELECT (SELECT count(*) FROM requests) + (SELECT count(*) FROM metrics)"
            ).fetchone()
            assert stored == (source.new,)
            wild = connection.execute(
                "SELECT count(*) FROM requests WHERE ts IS NULL OR input_tokens NOT BETWEEN 0 AND 100000000 OR "
                "output_tokens NOT BETWEEN 0 AND 100000000 OR "
                "regexp_matches(coalesce(tenant, ''), '^[=+@-]|[\\x00-\\x1f]')"
            ).fetchone()
            assert wild == (0,)
        return "read"


def test_every_format_is_read_when_whole() -> None:
    for name, raw in FILES.items():
        assert check(name, raw) == "read", name


@settings(max_examples=8)
@given(damage())
def test_damage_a_little(case: tuple[str, bytes, list[str]]) -> None:
    check(case[0], case[1])


def test_a_field_of_half_a_megabyte_is_no_error() -> None:
    """Between the limits of Python's csv module and of a line."""
    for name in ("hourly", "tenants"):
        raw = bytearray(FILES[name])
        raw[400:400] = b"x" * 500_000
        assert check(name, bytes(raw)) == "read", name


HOSTILE = (
    "1e999",
    "1" * 400,
    "-0",
    "null",
    "[]",
    "{}",
    '""',
    "true",
    '"NaN"',
    '"2026-01-05"',
    '"9999-12-31T00:00:00Z"',
)
TARGETS = {
    "mooncake": ('"timestamp": 250', '"input_length": 1500', "[0, 1, 1]", "1, 1]"),
    "otel": ('"1767607200000000001"', '"gen_ai.usage.input_tokens": 1', '"0"', '"spanId": "1"'),
    "prometheus": ("1767607215", '"7"', '"vllm:prompt_tokens_total"', '"a"'),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), [(name, one) for name, listed in TARGETS.items() for one in listed])
def test_one_hostile_value_costs_no_more_than_its_row(name: str, target: str) -> None:
    """Numbers that no machine holds, times of other forms, values of other types, each at each place."""
    whole = FILES[name].decode()
    assert target in whole
    key = target.rpartition(": ")[0] if '": ' in target else ""
    for value in HOSTILE:
        check(name, whole.replace(target, f"{key}: {value}" if key else value, 1).encode())


@pytest.mark.slow
@settings(max_examples=250)
@given(damage())
def test_damage_a_lot(case: tuple[str, bytes, list[str]]) -> None:
    check(case[0], case[1])


@pytest.mark.slow
def test_a_line_of_ten_megabytes_costs_one_row(tmp_path: Path) -> None:
    text = csv_text(AZURE, ROWS).encode()
    cut = text.index(b"\n", 500) + 1
    path = tmp_path / "long.csv"
    path.write_bytes(text[:cut] + b"9" * 10_000_000 + b"\n" + text[cut:])
    (answer,) = ingest_files([path], tmp_path / "out")
    assert answer.source is not None
    assert (answer.source.kept, answer.source.rejected) == (120, 1)
    assert "more than" in next(iter(answer.source.reasons))
    assert answer.rejects is not None
    assert answer.rejects.stat().st_size < 2000


@pytest.mark.slow
def test_random_bytes_are_refused_or_answered(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for head in (b"", b"PAR1", b"\x1f\x8b\x08", b"{", b"[", b"\xff\xfe", b"TIMESTAMP,ContextTokens,GeneratedTokens\n"):
        for size in (1, 100, 100_000):
            check("random", head + rng.bytes(size))
