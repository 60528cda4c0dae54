"""Frozen records to plain data and back: lists, numbers, text and null, typed by the records' own annotations."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from configs.errors import InputError
from data.records import Configuration


def read_document(path: Path, schema: str, fix: str) -> Mapping[str, Any]:
    """The JSON object of a schema in a file. InputError where it is no such thing; fix: what to do then."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), "a file", error.strerror or "no such file", fix) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(str(path), "JSON", str(error), fix) from None
    if not isinstance(document, dict) or document.get("schema") != schema:
        got = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise InputError(str(path), f"schema {schema}", repr(got), fix)
    return document


def configuration_of(raw: Mapping[Any, Any]) -> Configuration:
    """A configuration as plan.json and capacity.parquet write it; other keys are passed over, and fields that there
    were not yet when it was written keep their defaults."""
    return Configuration(**{one.name: raw[one.name] for one in fields(Configuration) if one.name in raw})


def finite(value: Any) -> Any:
    """Plain data (numbers, text, mappings, lists, tuples) with null for numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def plain(value: Any, digits: int = 6) -> Any:
    """Arrays as lists, floats at so many significant digits, null for what is not finite."""
    if isinstance(value, np.ndarray):
        return [plain(float(one), digits) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(one, digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, digits) for one in value]
    return value


def record(kind: Any, raw: Any, where: str, fix: str) -> Any:
    """A value of an annotated type from plain data; null is nan for a number. Raises InputError with the place."""
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        if not isinstance(raw, Mapping):
            raise InputError(where, "an object", type(raw).__name__, fix)
        hints = get_type_hints(kind)
        values = {}
        for one in fields(kind):
            if one.name not in raw:
                if one.default is MISSING and one.default_factory is MISSING:
                    raise InputError(f"{where}.{one.name}", "a value", "nothing", fix)
                # Written before there was such a field.
                continue
            values[one.name] = record(hints[one.name], raw[one.name], f"{where}.{one.name}", fix)
        return kind(**values)  # type: ignore[operator]
    if origin is Literal:
        if raw not in args:
            raise InputError(where, f"one of {', '.join(map(str, args))}", repr(raw), fix)
        return raw
    if origin in (Union, types.UnionType):
        return None if raw is None else record(next(one for one in args if one is not type(None)), raw, where, fix)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(raw, Mapping):
            raise InputError(where, "an object", type(raw).__name__, fix)
        return {str(name): record(args[1], one, f"{where}.{name}", fix) for name, one in raw.items()}
    if origin in (tuple, np.ndarray):
        return _many(kind, raw, where, fix)
    if kind is float:
        if raw is None:
            return math.nan
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise InputError(where, "a number", repr(raw), fix)
        return float(raw)
    if not isinstance(raw, kind) or (kind is int and isinstance(raw, bool)):
        raise InputError(where, kind.__name__, repr(raw), fix)
    return raw


def _many(kind: Any, raw: Any, where: str, fix: str) -> Any:
    """A tuple or an array from a list."""
    if not isinstance(raw, list):
        raise InputError(where, "a list", type(raw).__name__, fix)
    if get_origin(kind) is np.ndarray:
        return np.array([record(float, one, where, fix) for one in raw], dtype=np.float64)
    args = get_args(kind)
    if args[-1] is Ellipsis:
        return tuple(record(args[0], one, f"{where}[{i}]", fix) for i, one in enumerate(raw))
    if len(raw) != len(args):
        raise InputError(where, f"{len(args)} values", f"{len(raw)}", fix)
    return tuple(record(one, value, where, fix) for one, value in zip(args, raw, strict=True))
