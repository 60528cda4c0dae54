"""Budget rows keep the rules of FOCUS 1.2's columns, written down here from the specification."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.focus import focus_rows, write_focus
from data.cost_records import CostLine
from data.records import Source
from tests.cost.factory import fleet
from tests.cost.test_costs import report

# Column -> may it be null (FOCUS 1.2: mandatory columns, then conditional ones that apply to a fleet with commitments).
NULLABLE = {
    "BilledCost": False, "BillingAccountId": False, "BillingAccountName": True, "BillingCurrency": False,
    "BillingPeriodEnd": False, "BillingPeriodStart": False, "ChargeCategory": False, "ChargeClass": True,
    "ChargeDescription": True, "ChargePeriodEnd": False, "ChargePeriodStart": False, "ContractedCost": False,
    "CapacityReservationId": True, "CapacityReservationStatus": True, "InvoiceId": True,
    "EffectiveCost": False, "InvoiceIssuerName": False, "ListCost": False, "PricingQuantity": True,
    "PricingUnit": True, "ProviderName": False, "PublisherName": False, "ServiceCategory": False, "ServiceName": False,
    "ChargeFrequency": False, "CommitmentDiscountCategory": True, "CommitmentDiscountId": True,
    "CommitmentDiscountName": True, "CommitmentDiscountQuantity": True, "CommitmentDiscountStatus": True,
    "CommitmentDiscountType": True, "CommitmentDiscountUnit": True, "ConsumedQuantity": True, "ConsumedUnit": True,
    "ContractedUnitPrice": True, "ListUnitPrice": True, "PricingCategory": True, "RegionId": True, "RegionName": True,
    "ResourceId": True, "ResourceName": True, "ResourceType": True, "ServiceSubcategory": False, "SkuId": True,
    "SkuMeter": True, "SkuPriceDetails": True, "SkuPriceId": True, "SubAccountId": True, "SubAccountName": True,
    "Tags": True,
}  # fmt: skip
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "CommitmentDiscountCategory": {"Spend", "Usage"},
    "CommitmentDiscountStatus": {"Used", "Unused"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {
        "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
        "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media",
        "Migration", "Mobile", "Networking", "Security", "Storage", "Web", "Other",
    },
}  # fmt: skip
# Feature level "Mandatory" in the specification's column pages.
MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName",
)  # fmt: skip
COSTS = ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost")


def check(frame: pd.DataFrame) -> None:
    """Raises AssertionError where a row breaks a rule."""
    assert set(NULLABLE) == {name for name in frame if not name.startswith("x_")}
    assert set(MANDATORY) <= set(frame)
    reserved = frame["CapacityReservationId"].notna()
    assert (frame["CapacityReservationStatus"].notna() == (reserved & (frame["ChargeCategory"] == "Usage"))).all()
    for name, may in NULLABLE.items():
        assert may or frame[name].notna().all(), name
    for name, values in ALLOWED.items():
        assert set(frame[name].dropna()) <= values, name
    assert (frame["BillingCurrency"] == "USD").all()
    for name in COSTS:
        assert frame[name].map(lambda x: isinstance(x, float)).all(), name
    assert (frame["ChargePeriodStart"] < frame["ChargePeriodEnd"]).all()
    assert (frame["BillingPeriodEnd"].dt.day == 1).all()
    charged = frame[frame["ChargeCategory"].isin(["Usage", "Purchase"])]
    for name in (
        "PricingQuantity",
        "PricingUnit",
        "ListUnitPrice",
        "ContractedUnitPrice",
        "PricingCategory",
        "SkuId",
        "SkuPriceId",
    ):
        assert charged[name].notna().all(), name
    for cost in ("List", "Contracted"):
        made = frame[f"{cost}UnitPrice"] * frame["PricingQuantity"]
        assert ((made - frame[f"{cost}Cost"]).abs() <= 1e-9 * made.abs().clip(lower=1.0)).all()
    # Commitment columns hang together.
    there = frame["CommitmentDiscountId"].notna()
    for name in ("Category", "Name", "Type", "Quantity", "Unit"):
        assert (frame[f"CommitmentDiscount{name}"].notna() == there).all(), name
    usage, purchase = frame["ChargeCategory"] == "Usage", frame["ChargeCategory"] == "Purchase"
    assert (frame["CommitmentDiscountStatus"].notna() == (there & usage)).all()
    assert (frame.loc[there, "CommitmentDiscountQuantity"] > 0).all()
    assert (frame.loc[there & usage, "PricingCategory"] == "Committed").all()
    assert (frame.loc[purchase, "ChargeFrequency"] != "Usage-Based").all()
    assert (frame.loc[purchase & there, "EffectiveCost"] == 0).all()
    assert (frame.loc[usage & there, "BilledCost"] == 0).all()
    unused = frame["CommitmentDiscountStatus"] == "Unused"
    assert frame.loc[purchase | unused, ["ConsumedQuantity", "ConsumedUnit"]].isna().all().all()
    assert frame.loc[usage & ~unused, ["ConsumedQuantity", "ConsumedUnit"]].notna().all().all()
    assert all(isinstance(json.loads(text), dict) for text in frame["Tags"].dropna())
    # Purchased quantity and money of a period are used or unused, nothing is lost.
    for (_, _), mine in frame[there].groupby(["CommitmentDiscountId", "ChargePeriodStart"]):
        bought, used = mine[mine["ChargeCategory"] == "Purchase"], mine[mine["ChargeCategory"] == "Usage"]
        assert len(bought) == 1
        assert used["CommitmentDiscountQuantity"].sum() == pytest.approx(bought["CommitmentDiscountQuantity"].sum())
        assert used["EffectiveCost"].sum() == pytest.approx(bought["BilledCost"].sum())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_rows_keep_the_rules_and_sum_to_the_lines(seed: int) -> None:
    made = report(fleet(seed))
    frame = focus_rows(made.lines, "prod")
    check(frame)
    assert frame["EffectiveCost"].sum() == pytest.approx(made.usd)
    assert frame["BilledCost"].sum() == pytest.approx(made.usd)


def test_capacity_blocks_are_reservations_used_and_unused() -> None:
    def line(purpose: str, usd: float, option: str = "capacity_block") -> CostLine:
        return CostLine(
            "compute", "2026-12", usd, "east", Source("list", "2026"), "monthly", purpose, option, "H100-SXM", "aws/r",
            f"{option}-1", quantity=usd / 2.0, unit="GPU-hours",
        )  # fmt: skip

    frame = focus_rows((line("steady", 8.0), line("idle", 2.0), line("steady", 4.0, "reserved_1y")), "prod")
    check(frame)
    blocks = frame[frame["CapacityReservationId"] == "capacity_block-1"]
    assert sorted(blocks["ChargeCategory"]) == ["Purchase", "Usage", "Usage"]
    assert sorted(blocks["CapacityReservationStatus"].dropna()) == ["Unused", "Used"]
    assert frame["CapacityReservationId"].notna().sum() == 3


def test_a_broken_row_would_be_seen() -> None:
    frame = focus_rows(report(fleet(11)).lines, "prod")
    there = frame.index[frame["CommitmentDiscountStatus"] == "Used"][0]
    for column, value in (
        ("BilledCost", 1.0), ("PricingCategory", "Standard"), ("CommitmentDiscountStatus", None), ("ListCost", 1e9),
        ("ServiceCategory", "GPUs"), ("CommitmentDiscountUnit", None),
    ):  # fmt: skip
        broken = frame.copy()
        broken.loc[there, column] = value
        with pytest.raises(AssertionError):
            check(broken)


def test_files_agree_and_spreadsheets_run_nothing(tmp_path: Path) -> None:
    evil = CostLine(
        "compute", "2026-12", 1.0, "east", Source('=HYPERLINK("x")', "2026"), "@SUM(A1)", gpu="-1+1", unit="GPU-hours",
        quantity=2.0, llm="+cmd",
    )  # fmt: skip
    frame = focus_rows((evil,), "=cmd|' /C calc'!A0")
    parquet, csv = write_focus(frame, tmp_path)
    read = pd.read_csv(csv, dtype=str, keep_default_na=False)
    for name in read:
        for cell in read[name]:
            if cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
                float(cell)
    assert read["ChargePeriodEnd"].tolist() == ["2027-01-01T00:00:00Z"]
    stored = pd.read_parquet(parquet)
    assert stored["BillingAccountId"].tolist() == ["=cmd|' /C calc'!A0"]
    assert stored["EffectiveCost"].tolist() == [float(x) for x in read["EffectiveCost"]]
