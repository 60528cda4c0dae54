"""Records to one file and back: a zip of JSON, arrays and frames, typed by the records' own annotations.

Nothing in it is executed when it is read: no pickle, so that a run folder from anyone can be opened.
"""

from __future__ import annotations

import io
import json
import types
import zipfile
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from configs.errors import InputError

FORMAT = "fleetcast.archive/1"
CLOCK = (1980, 1, 1, 0, 0, 0)
"""Every member's date: equal records give equal files."""

T = TypeVar("T")


@dataclass(slots=True)
class _Parts:
    """Members of the archive beside its JSON, by name."""

    members: dict[str, bytes] = field(default_factory=dict)


def save(value: object, path: Path) -> None:
    """Writes a frozen dataclass, with everything it holds."""
    parts = _Parts()
    document = {"format": FORMAT, "type": type(value).__name__, "value": _out(value, type(value), parts)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, content in {"record.json": json.dumps(document).encode(), **parts.members}.items():
            archive.writestr(zipfile.ZipInfo(name, CLOCK), content, zipfile.ZIP_DEFLATED)


def load(kind: type[T], path: Path) -> T:
    """The record in `path`. Raises InputError where the file is no archive of one, or one of another version."""
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("record.json"))
            if document["format"] != FORMAT or document["type"] != kind.__name__:
                raise KeyError(f"{document['format']} of {document['type']}")
            value: T = _in(document["value"], kind, archive)
            return value
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        fix = "Name a run folder that this version of Fleetcast wrote, or plan again."
        raise InputError(str(path), f"an archived {kind.__name__}", got[:200], fix) from None


_HINTS: dict[Any, dict[str, Any]] = {}


def _hints(kind: Any) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = get_type_hints(kind)
    return _HINTS[kind]


def _alternative(value: object, hint: Any) -> Any:
    """Of a union, the part that fits the value."""
    kinds = [part for part in get_args(hint) if part is not type(None)]
    if len(kinds) == 1 or value is None:
        return kinds[0]
    return next((part for part in kinds if isinstance(part, type) and isinstance(value, part)), Any)


def _out(value: Any, hint: Any, parts: _Parts) -> Any:
    origin = get_origin(hint)
    if value is None or hint is Any or origin is Literal:
        return value
    if origin in (Union, types.UnionType):
        return _out(value, _alternative(value, hint), parts)
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        return _member(parts, "npy", buffer.getvalue())
    if isinstance(value, pd.DataFrame):
        return _member(parts, "parquet", value.to_parquet(index=False))
    if is_dataclass(value):
        known = _hints(value.__class__)
        return {one.name: _out(getattr(value, one.name), known[one.name], parts) for one in fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        key_hint, item_hint = get_args(hint) or (Any, Any)
        return [[_out(k, key_hint, parts), _out(v, item_hint, parts)] for k, v in value.items()]
    if isinstance(value, (tuple, list)):
        return [_out(v, h, parts) for v, h in zip(value, _items(hint, len(value)), strict=True)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} cannot be archived as {hint}")


def _member(parts: _Parts, suffix: str, content: bytes) -> str:
    name = f"{len(parts.members)}.{suffix}"
    parts.members[name] = content
    return name


def _items(hint: Any, count: int) -> list[Any]:
    """The hint of each item of a tuple or list."""
    args = get_args(hint)
    if not args:
        return [Any] * count
    if len(args) == 1 or args[-1] is Ellipsis:
        return [args[0]] * count
    return list(args)


def _in(raw: Any, hint: Any, archive: zipfile.ZipFile) -> Any:
    origin = get_origin(hint)
    if raw is None or hint is Any or origin is Literal:
        return raw
    if origin in (Union, types.UnionType):
        return _in(raw, next(part for part in get_args(hint) if part is not type(None)), archive)
    if origin is np.ndarray or hint is np.ndarray:
        return np.load(io.BytesIO(archive.read(raw)), allow_pickle=False)
    if hint is pd.DataFrame:
        return pd.read_parquet(io.BytesIO(archive.read(raw)))
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(raw, hint, archive)
    if hasattr(hint, "model_validate"):
        return hint.model_validate(raw)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key_hint, item_hint = get_args(hint)
        return {_in(k, key_hint, archive): _in(v, item_hint, archive) for k, v in raw}
    if origin in (tuple, list):
        return origin(_in(v, h, archive) for v, h in zip(raw, _items(hint, len(raw)), strict=True))
    return hint(raw)


def _record(raw: Mapping[str, Any], kind: Any, archive: zipfile.ZipFile) -> Any:
    known = _hints(kind)
    given = {}
    for one in fields(kind):
        if one.name in raw:
            given[one.name] = _in(raw[one.name], known[one.name], archive)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise KeyError(f"{kind.__name__}.{one.name} is not in it")
    return kind(**given)
