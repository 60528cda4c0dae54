"""Run folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import InputError
from flows.run_folder import whole_folder


def test_a_finished_folder_appears_whole(tmp_path: Path) -> None:
    final = tmp_path / "runs" / "one"
    with whole_folder(final) as scratch:
        (scratch / "a.txt").write_text("a", encoding="utf-8")
        assert not final.exists()
    assert (final / "a.txt").read_text(encoding="utf-8") == "a"
    assert [path.name for path in final.parent.iterdir()] == ["one"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_folder_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with whole_folder(tmp_path / "one") as scratch:
            (scratch / "a.txt").write_text("a", encoding="utf-8")
            raise error

    with pytest.raises(error):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(InputError, match="one that does"), whole_folder(tmp_path / "one"):
        pass


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="can be written"), whole_folder(tmp_path / "file" / "one"):
        pass
