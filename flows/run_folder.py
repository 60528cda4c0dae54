"""Run folders appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import InputError


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A scratch folder beside `final` that becomes `final` in one rename when the block ends well.

    On any exception, Ctrl-C included, the scratch folder is removed and `final` was never there. Files are
    flushed to disk before the rename, so that a power cut cannot leave a named folder with empty files.
    Raises InputError where `final` exists already or its parent cannot be written.
    """
    if final.exists():
        raise InputError(str(final), "a run folder that does not exist yet", "one that does", "Choose another --out.")
    scratch = final.with_name(f".{final.name}.partial-{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            str(final.parent),
            "a folder that can be written",
            error.strerror or str(error),
            "Choose another --out.",
        ) from None
    try:
        yield scratch
        for path in scratch.rglob("*"):
            if path.is_file():
                with path.open("rb") as handle:
                    os.fsync(handle.fileno())
        scratch.rename(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
