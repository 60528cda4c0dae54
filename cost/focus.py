"""Budget rows in the columns of FOCUS 1.2, the FinOps Open Cost and Usage Specification (focus.finops.org).

A commitment is a Purchase row a month, billed and not effective, and Usage rows, effective and not billed: the hours it
covered (Used) and those nothing ran in (Unused). Everything else is billed and effective in the month of use.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data.cost_records import IDLE, CostLine
from data.units import HOURS_PER_MONTH

SERVICES = {
    "compute": ("Compute", "Virtual Machines"),
    "power and cooling": ("Other", "Other (Other)"),
    "storage": ("Storage", "Block Storage"),
    "network": ("Networking", "Content Delivery"),
    "provider API": ("AI and Machine Learning", "Generative AI"),
    "tool API": ("Integration", "API Management"),
    "observability": ("Management and Governance", "Observability"),
    "evaluation": ("AI and Machine Learning", "Generative AI"),
    "engineering": ("Other", "Other (Other)"),
    "pool start": ("Developer Tools", "Other (Developer Tools)"),
}
"""Item -> ServiceCategory and ServiceSubcategory."""
RESERVED = "capacity_block"
"""The purchase option that is a reservation of capacity, not only of a price."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def _next_month(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02d}"


def _common(line: CostLine, account: str) -> dict[str, Any]:
    start, end = (pd.Timestamp(f"{month}-01", tz="UTC") for month in (line.month, _next_month(line.month)))
    provider = line.provider.partition("/")[0] or {"engineering": "own"}.get(line.item, "various")
    what = " ".join(part for part in (line.option.replace("_", "-"), line.gpu) if part) or line.item
    region = None if " " in line.region else line.region
    category, subcategory = SERVICES[line.item]
    sku = ":".join(part for part in (line.item.replace(" ", "-"), line.gpu, line.option) if part)
    tags = {"llm": line.llm, "request_class": line.request_class, "purpose": line.purpose}
    return {
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingCurrency": line.currency,
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "ChargeClass": None,
        "ChargeDescription": f"{what}: {line.purpose or line.item}, {line.month}",
        # A plan has no invoice yet.
        "InvoiceId": None,
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "RegionId": region,
        "RegionName": region,
        "ResourceId": None,
        "ResourceName": None,
        "ResourceType": None,
        "ServiceCategory": category,
        "ServiceSubcategory": subcategory,
        "ServiceName": line.item,
        "SkuId": sku,
        "SkuMeter": line.unit,
        "SkuPriceId": f"{sku}:{line.region.replace(' ', '-')}:{line.commitment or line.provider or 'own'}",
        "SkuPriceDetails": None,
        "SubAccountId": line.llm or None,
        "SubAccountName": line.llm or None,
        "Tags": json.dumps({key: value for key, value in tags.items() if value}, ensure_ascii=False),
        "x_Amortisation": line.amortisation,
        "x_Source": line.source.citation,
        "x_SourceDate": line.source.as_of,
    }


def _reservation(line: CostLine, status: str | None) -> dict[str, Any]:
    """Columns of reserved capacity: blocks that are there whether or not anything runs in them."""
    block = line.option == RESERVED
    return {
        "CapacityReservationId": line.commitment if block else None,
        "CapacityReservationStatus": status if block else None,
    }


def _commitment(line: CostLine, quantity: float | None, status: str | None) -> dict[str, Any]:
    """Columns of the commitment, all null without one."""
    there = quantity is not None
    return {
        "CommitmentDiscountCategory": "Usage" if there else None,
        "CommitmentDiscountId": line.commitment if there else None,
        "CommitmentDiscountName": line.commitment if there else None,
        "CommitmentDiscountQuantity": quantity,
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountType": line.option if there else None,
        "CommitmentDiscountUnit": "GPU-hours" if there else None,
    }


def _usage(line: CostLine, account: str) -> dict[str, Any]:
    covered = bool(line.commitment) and line.option != "owned"
    unused = covered and line.purpose == IDLE
    quantity = line.quantity or 1.0
    listed = line.usd if line.list_usd is None else line.list_usd
    # The contracted price leaves commitments out: it is what the hour would cost without one.
    contracted = listed if covered else line.usd
    pricing = {"spot": "Dynamic", "owned": "Other"}.get(line.option, "Committed" if covered else "Standard")
    status = ("Unused" if unused else "Used") if covered else None
    return _common(line, account) | {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "BilledCost": 0.0 if covered else line.usd,
        "EffectiveCost": line.usd,
        "ContractedCost": contracted,
        "ContractedUnitPrice": contracted / quantity,
        "ListCost": listed,
        "ListUnitPrice": listed / quantity,
        "PricingCategory": pricing,
        "PricingQuantity": quantity,
        "PricingUnit": line.unit or "charges",
        "ConsumedQuantity": None if unused else quantity,
        "ConsumedUnit": None if unused else line.unit or "charges",
    } | _commitment(line, quantity if covered else None, status) | _reservation(line, status)  # fmt: skip


def _purchase(lines: Sequence[CostLine], account: str) -> dict[str, Any]:
    """The monthly instalment of a commitment: what its lines of the month sum to."""
    one = lines[0]
    usd, quantity = math.fsum(line.usd for line in lines), math.fsum(line.quantity for line in lines)
    return (
        _common(one, account)
        | {
            "ChargeDescription": f"{one.option.replace('_', '-')} of {quantity / HOURS_PER_MONTH:g} {one.gpu}: "
            f"instalment of {one.month}",
            "ChargeCategory": "Purchase",
            "ChargeFrequency": "Recurring",
            "BilledCost": usd,
            "EffectiveCost": 0.0,
            "ContractedCost": usd,
            "ContractedUnitPrice": usd / quantity,
            "ListCost": usd,
            "ListUnitPrice": usd / quantity,
            "PricingCategory": "Standard",
            "PricingQuantity": quantity,
            "PricingUnit": "GPU-hours",
            "ConsumedQuantity": None,
            "ConsumedUnit": None,
            "SubAccountId": None,
            "SubAccountName": None,
            "Tags": "{}",
        }
        | _commitment(one, quantity, None)
        | _reservation(one, None)
    )


def focus_rows(lines: Sequence[CostLine], account: str) -> pd.DataFrame:
    """One row a charge, columns in FOCUS's alphabetical order, custom ones (x_) last.

    Sums of EffectiveCost and of BilledCost both equal the lines' within every month: instalments are paid as they are
    used up.
    """
    rows = [_usage(line, account) for line in lines]
    bought: dict[tuple[str, str], list[CostLine]] = {}
    for line in lines:
        if line.commitment and line.option != "owned":
            bought.setdefault((line.commitment, line.month), []).append(line)
    rows += [_purchase(group, account) for group in bought.values()]
    frame = pd.DataFrame(rows)
    names = sorted((str(name) for name in frame), key=lambda name: (name.startswith("x_"), name))
    return frame[names]


def _safe(value: object) -> object:
    """Text that a spreadsheet cannot take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def write_focus(frame: pd.DataFrame, folder: Path) -> tuple[Path, ...]:
    """budget.parquet and budget.csv; the CSV has ISO 8601 times, and no cell that a spreadsheet would run."""
    parquet, csv = folder / "budget.parquet", folder / "budget.csv"
    frame.to_parquet(parquet, index=False)
    text = frame.copy()
    for name in text:
        if isinstance(text[name].dtype, pd.DatetimeTZDtype):
            text[name] = text[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        elif not pd.api.types.is_numeric_dtype(text[name]):
            text[name] = text[name].map(_safe)
    text.to_csv(csv, index=False)
    return parquet, csv
