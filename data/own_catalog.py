"""A catalog of one's own beside the product's: files of the same form in the folder that $FLEETCAST_CATALOG names."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from configs.errors import InputError

FOLDER = Path(__file__).parent / "catalog"
OWN = "FLEETCAST_CATALOG"
FILES = ("gpus.yaml", "llms.yaml", "engines.yaml", "prices.yaml")


def own_files() -> tuple[Path, ...]:
    """Those of one's own; none where $FLEETCAST_CATALOG is not set. Raises InputError where it names no such folder."""
    named = os.environ.get(OWN, "").strip()
    return _own(Path(named).expanduser().absolute()) if named else ()


@cache
def _own(folder: Path) -> tuple[Path, ...]:
    wanted, fix = f"a folder with any of {', '.join(FILES)}", f"Correct {OWN}, or unset it for the product's catalog."
    if not folder.is_dir():
        raise InputError(f"{OWN}={folder}", wanted, "no folder", fix)
    found = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    others = [path.name for path in found if path.name not in FILES]
    if others or not found:
        raise InputError(f"{OWN}={folder}", wanted, ", ".join(others) or "none of them", fix)
    return tuple(found)


def catalog_files(name: str) -> tuple[Path, ...]:
    """The product's file of that name, and one's own where there is one: what it has takes the place of the product's
    entry of the same name."""
    return (FOLDER / name, *(path for path in own_files() if path.name == name))
