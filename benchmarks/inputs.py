"""Files that a benchmark is given: read, or refused by an InputError that says what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from configs.errors import InputError


def text_of(path: Path, what: str) -> str:
    """The text of a file. Raises InputError where there is none, or it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), what, error.strerror or type(error).__name__, "Check the path.") from None
    except UnicodeDecodeError as error:
        raise InputError(str(path), what, str(error), "Save it in UTF-8.") from None


def object_of(text: str, where: str, keys: Sequence[str]) -> dict[str, Any]:
    """The JSON object that a text is. Raises InputError for anything else, and for one without these keys."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(where, "JSON", str(error), "Correct the file.") from None
    if not isinstance(found, dict):
        raise InputError(where, "a JSON object", type(found).__name__, "Correct the file.")
    require(found, keys, where)
    return found


def table_of(path: Path, what: str, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file with these columns and a row at least. Raises InputError for anything else."""
    try:
        found = pd.read_csv(path, skipinitialspace=True).rename(columns=str.strip)
    except OSError as error:
        raise InputError(str(path), what, error.strerror or type(error).__name__, "Check the path.") from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(str(path), what, str(error), "Save it as CSV in UTF-8.") from None
    require(dict.fromkeys(found.columns), columns, str(path))
    if found.empty:
        raise InputError(str(path), what, "no rows", "Give a file with rows.")
    return found


def require(found: Mapping[str, object], keys: Sequence[str], where: str) -> None:
    """Raises InputError for names that are not there."""
    missing = [key for key in keys if key not in found]
    if missing:
        raise InputError(where, ", ".join(keys), f"no {', '.join(missing)}", "Add them.")
