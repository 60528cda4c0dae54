"""scaling.json: how pools are scaled, for machines and for later commands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.errors import InputError
from data.plain import plain, read_document, record
from data.scaling_records import PoolScaling

SCALING_SCHEMA = "fleetcast.scaling/1"
NUMBERS = re.compile(r"\[\n((?:\s+(?:[-+.eE\d]+|null),?\n)+)\s+\]")
FIX = "Make it with `fleetcast autoscale RUN --out FILE`."


def scaling_document(pools: Sequence[PoolScaling], unscaled: Sequence[str] = ()) -> dict[str, Any]:
    """Everything as plain data, valid against reports/schema/scaling.schema.json: arrays as lists, floats at 6
    significant digits, null for what is not finite. unscaled: pools that do not scale, and why."""
    found = {"schema": SCALING_SCHEMA, "pools": [plain(asdict(pool)) for pool in pools]}
    return found | ({"unscaled": list(unscaled)} if unscaled else {})


def scaling_json(pools: Sequence[PoolScaling], unscaled: Sequence[str] = ()) -> str:
    """The document as text, indented, lists of numbers on a line of their own, newline at the end."""
    text = json.dumps(scaling_document(pools, unscaled), indent=2, ensure_ascii=False, allow_nan=False)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def read_scaling(path: Path) -> tuple[PoolScaling, ...]:
    """The pools of a file that `scaling_json` wrote. Raises InputError that names what is missing or wrong in it."""
    document = read_document(path, SCALING_SCHEMA, FIX)
    pools = document.get("pools")
    if not isinstance(pools, list):
        raise InputError(f"{path}, pools", "a list", type(pools).__name__, FIX)
    return tuple(record(PoolScaling, one, f"{path}, pools[{i}]", FIX) for i, one in enumerate(pools))
