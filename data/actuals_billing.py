"""What was billed: a CSV in the shape of FOCUS (FinOps Open Cost and Usage Specification 1.x)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from configs.errors import InputError
from data.actuals import header
from data.text_files import first_line, numbers, read_table

COLUMNS = ("ChargePeriodStart", "ChargeCategory", "EffectiveCost", "BillingCurrency")
CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
GPU_HOURS = ("gpu-hours", "gpu hours", "gpu-hour", "gpu hour")


@dataclass(frozen=True, slots=True)
class Billed:
    """Cost by month (YYYY-MM), US dollars, amortised as FOCUS's EffectiveCost is, and GPU-hours where rows carry them
    (ConsumedUnit "GPU-Hours"); the file's SHA-256."""

    usd: Mapping[str, float]
    gpu_hours: Mapping[str, float]
    sha256: str


def read_billing(path: Path) -> Billed:
    """Reads a FOCUS export: EffectiveCost by the month in which a charge period starts.

    Credits and adjustments are negative. Raises InputError naming line and column: a currency that is not USD, a
    category FOCUS does not know, a date without an offset.
    """
    there = header(path)
    optional = [name for name in ("ConsumedQuantity", "ConsumedUnit") if name in there]
    raw, digest = read_table(path, [*COLUMNS, *optional])
    start = pd.to_datetime(raw["ChargePeriodStart"], errors="coerce", utc=True, format="ISO8601")
    checks = (
        ("ChargePeriodStart", start.isna(), "a date-time such as 2026-11-01T00:00:00Z", "Correct the value."),
        ("BillingCurrency", raw["BillingCurrency"] != "USD", "USD", "Convert the export."),
        ("ChargeCategory", ~raw["ChargeCategory"].isin(CATEGORIES), f"one of {', '.join(CATEGORIES)}", "Correct it."),
    )
    for name, bad, expected, fix in checks:
        if bad.any():
            line = first_line(bad)
            raise InputError(f"{path}, line {line}, column {name!r}", expected, repr(raw[name][line]), fix)
    usd = numbers(path, raw["EffectiveCost"], "a cost", least=-1e15)
    month = start.dt.strftime("%Y-%m")
    hours: dict[str, float] = {}
    if len(optional) == 2:
        counted = raw["ConsumedUnit"].str.lower().isin(GPU_HOURS)
        if counted.any():
            quantity = numbers(path, raw["ConsumedQuantity"][counted], "GPU-hours")
            hours = {str(name): float(value) for name, value in quantity.groupby(month[counted]).sum().items()}
    return Billed({str(name): float(value) for name, value in usd.groupby(month).sum().items()}, hours, digest)
