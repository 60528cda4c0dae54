"""Run folders found and read back."""

from __future__ import annotations

from pathlib import Path

from configs.errors import InputError
from data import archive
from reports.bundle import PlanBundle
from reports.write import ARCHIVE


def run_folder(name: str | None, out: Path) -> Path:
    """A run folder by path, by its name below `out`, or by the beginning of its name; None is the newest.

    Raises InputError where there is none, or more than one.
    """
    known = sorted((path.parent for path in out.glob(f"*/{ARCHIVE}")), key=lambda path: path.stat().st_mtime)
    if name is None:
        if not known:
            raise InputError(str(out), "a folder with at least one plan", "none", "Run `fleetcast plan` first.")
        return known[-1]
    if (Path(name) / ARCHIVE).is_file():
        return Path(name)
    found = [path for path in known if path.name == name] or [path for path in known if path.name.startswith(name)]
    if len(found) != 1:
        got = f"{len(found)} of them: {', '.join(path.name for path in found[:5])}" if found else "none"
        last = f"Plans in {out}: {', '.join(path.name for path in known[-5:])}." if known else "Plan first."
        raise InputError(f"run {name!r}", f"a run folder with {ARCHIVE}, or the beginning of its name", got, last)
    return found[0]


def recall(name: str | None, out: Path) -> tuple[Path, PlanBundle]:
    """A run folder and everything its plan was made from."""
    folder = run_folder(name, out)
    return folder, archive.load(PlanBundle, folder / ARCHIVE)
