"""Plain data for JSON: null for what is not finite, everything else as it was."""

from __future__ import annotations

import json

from data.plain import finite


def test_only_what_is_not_finite_becomes_null() -> None:
    raw = {"a": (1.25, float("nan")), "b": [{"c": float("inf")}, 3, "NaN", None, True], "d": -float("inf")}
    assert finite(raw) == {"a": [1.25, None], "b": [{"c": None}, 3, "NaN", None, True], "d": None}
    json.dumps(finite(raw), allow_nan=False)
