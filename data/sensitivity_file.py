"""sensitivity.json: what can change a plan, for machines and for the report."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from data.plain import plain, read_document, record
from data.sensitivity_records import Sensitivity

SENSITIVITY_SCHEMA = "fleetcast.sensitivity/1"
DIGITS = 10
FIX = "Make it with `fleetcast sensitivity RUN --out FOLDER`."


def sensitivity_json(answer: Sensitivity) -> str:
    """The answer as text: floats at 10 significant digits, null for what is not a number (what commitments cost that
    cannot be kept)."""
    document = {"schema": SENSITIVITY_SCHEMA, **plain(asdict(answer), DIGITS)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_sensitivity(path: Path) -> Sensitivity:
    """What `sensitivity_json` wrote. Raises InputError that names what is missing or wrong in it."""
    document = read_document(path, SENSITIVITY_SCHEMA, FIX)
    found: Sensitivity = record(Sensitivity, document, str(path), FIX)
    return found
