"""scaling.json: how pools are scaled, for machines and for later commands."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from configs.errors import InputError
from data.scaling_records import PoolScaling

SCALING_SCHEMA = "fleetcast.scaling/1"
NUMBERS = re.compile(r"\[\n((?:\s+(?:[-+.eE\d]+|null),?\n)+)\s+\]")
FIX = "Make it with `fleetcast autoscale RUN --out FILE`."


def scaling_document(pools: Sequence[PoolScaling]) -> dict[str, Any]:
    """Everything as plain data, valid against reports/schema/scaling.schema.json: arrays as lists, floats at 6
    significant digits, null for what is not finite."""
    return {"schema": SCALING_SCHEMA, "pools": [_plain(asdict(pool)) for pool in pools]}


def scaling_json(pools: Sequence[PoolScaling]) -> str:
    """The document as text, indented, lists of numbers on a line of their own, newline at the end."""
    text = json.dumps(scaling_document(pools), indent=2, ensure_ascii=False, allow_nan=False)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def read_scaling(path: Path) -> tuple[PoolScaling, ...]:
    """The pools of a file that `scaling_json` wrote. Raises InputError that names what is missing or wrong in it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), "a file", error.strerror or "no such file", FIX) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(str(path), "JSON", str(error), FIX) from None
    if not isinstance(document, dict) or document.get("schema") != SCALING_SCHEMA:
        got = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise InputError(str(path), f"schema {SCALING_SCHEMA}", repr(got), FIX)
    pools = document.get("pools")
    if not isinstance(pools, list):
        raise InputError(f"{path}, pools", "a list", type(pools).__name__, FIX)
    return tuple(_record(PoolScaling, one, f"{path}, pools[{i}]") for i, one in enumerate(pools))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(float(one)) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _record(kind: Any, raw: Any, where: str) -> Any:
    """A value of an annotated type from plain data."""
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        if not isinstance(raw, Mapping):
            raise InputError(where, "an object", type(raw).__name__, FIX)
        hints = get_type_hints(kind)
        values = {}
        for one in fields(kind):
            if one.name not in raw:
                raise InputError(f"{where}.{one.name}", "a value", "nothing", FIX)
            values[one.name] = _record(hints[one.name], raw[one.name], f"{where}.{one.name}")
        return kind(**values)  # type: ignore[operator]
    if origin is Literal:
        if raw not in args:
            raise InputError(where, f"one of {', '.join(map(str, args))}", repr(raw), FIX)
        return raw
    if origin in (Union, types.UnionType):
        return None if raw is None else _record(next(one for one in args if one is not type(None)), raw, where)
    if origin in (tuple, np.ndarray):
        return _many(kind, raw, where)
    if kind is float:
        if raw is None:
            return math.nan
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise InputError(where, "a number", repr(raw), FIX)
        return float(raw)
    if not isinstance(raw, kind) or (kind is int and isinstance(raw, bool)):
        raise InputError(where, kind.__name__, repr(raw), FIX)
    return raw


def _many(kind: Any, raw: Any, where: str) -> Any:
    """A tuple or an array from a list."""
    if not isinstance(raw, list):
        raise InputError(where, "a list", type(raw).__name__, FIX)
    if get_origin(kind) is np.ndarray:
        return np.array([_record(float, one, where) for one in raw], dtype=np.float64)
    args = get_args(kind)
    if args[-1] is Ellipsis:
        return tuple(_record(args[0], one, f"{where}[{i}]") for i, one in enumerate(raw))
    if len(raw) != len(args):
        raise InputError(where, f"{len(args)} values", f"{len(raw)}", FIX)
    return tuple(_record(one, value, where) for one, value in zip(args, raw, strict=True))
