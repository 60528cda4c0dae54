"""Readers of what happened: traffic, bills, goodputs; every bad row is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from data.actuals import overlaid_series, read_actuals
from data.actuals_billing import read_billing
from data.actuals_goodput import read_goodput
from data.ledger.records import Actual
from data.records import SeriesKey

HEAD = "ts,llm,request_class,region,requests,input_tokens,output_tokens,cached_tokens\n"
GOOD = (
    HEAD
    + "2026-11-01T00:00Z,a,chat,us,10,1000,100,250\n"
    + "2026-11-01T05:00+02:00,a,chat,us,30,1000,100,250\n"
    + "2026-11-01T00:00Z,b,chat,eu,5,50,5,0\n"
)


def write(folder: Path, text: str) -> Path:
    path = folder / "file.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_hours_are_placed_and_gaps_left_unobserved(tmp_path: Path) -> None:
    found = read_actuals(write(tmp_path, GOOD))
    one = {str(actual.key): actual for actual in found.series}["a/chat/us"]
    assert one.first_hour == np.datetime64("2026-11-01T00", "h")
    assert np.array_equal(one.requests, [10, np.nan, np.nan, 30], equal_nan=True)
    mix = found.mix["a", "chat"]
    assert (mix.requests, mix.input_tokens, mix.output_tokens, mix.cache_hit) == (40, 50, 5, 0.25)
    plain = read_actuals(write(tmp_path, "ts,llm,request_class,region,requests\n2026-11-01T00:00Z,a,chat,us,10\n"))
    assert plain.mix == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2026-11-01T00:30Z,a,chat,us,1,1,1,0", "line 5, column 'ts'"),
        ("2026-11-01T01:00,a,chat,us,1,1,1,0", "with its offset"),
        ("yesterday,a,chat,us,1,1,1,0", "'yesterday'"),
        ("2026-11-01T01:00Z,,chat,us,1,1,1,0", "line 5, column 'llm'"),
        ("2026-11-01T01:00Z,a,chat,us,-1,1,1,0", "line 5, column 'requests'"),
        ("2026-11-01T01:00Z,a,chat,us,1,x,1,0", "line 5, column 'input_tokens'"),
        ("2026-11-01T03:00Z,a,chat,us,1,1,1,0", "line 5: expected one row a series and hour"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        read_actuals(write(tmp_path, GOOD + row + "\n"))


def test_tenants_of_a_series_add_up(tmp_path: Path) -> None:
    head = "ts,llm,request_class,region,tenant,requests\n"
    rows = ["T00:00Z,a,chat,us,acme,10", "T00:00Z,a,chat,us,zeta,5", "T02:00Z,a,chat,us,acme,7"]
    found = read_actuals(write(tmp_path, head + "".join(f"2026-11-01{row}\n" for row in rows)))
    (one,) = found.series
    assert np.array_equal(one.requests, [15, np.nan, 7], equal_nan=True)
    sent = {tenant: actual.requests for (_, tenant), actual in found.tenants.items()}
    assert np.array_equal(sent["acme"], [10, np.nan, 7], equal_nan=True)
    assert np.array_equal(sent["zeta"], [5, np.nan, 0], equal_nan=True)
    with pytest.raises(InputError, match="one row a series, tenant and hour"):
        read_actuals(write(tmp_path, head + 2 * f"2026-11-01{rows[0]}\n"))
    with pytest.raises(InputError, match="column 'tenant'"):
        read_actuals(write(tmp_path, head + "2026-11-01T00:00Z,a,chat,us,,1\n"))


def test_series_overlay_whichever_starts_first() -> None:
    key, start = SeriesKey("a", "chat", "us"), np.datetime64("2026-11-01T00", "h")
    early = Actual(key, start, np.array([1.0, 2.0, 3.0]))
    late = Actual(key, start + np.timedelta64(2, "h"), np.array([9.0, np.nan, 5.0]))
    for old, new, middle in ((early, late, 9.0), (late, early, 3.0)):
        found = overlaid_series(old, new)
        assert found is not None
        assert found.first_hour == start
        assert np.array_equal(found.requests, [1, 2, middle, np.nan, 5], equal_nan=True)
    assert overlaid_series(None, early) is early
    assert overlaid_series(early, None) is early
    with pytest.raises(ValueError, match="two series"):
        overlaid_series(early, Actual(SeriesKey("b", "chat", "us"), start, np.ones(1)))


FOCUS = "ChargePeriodStart,ChargeCategory,EffectiveCost,BillingCurrency,ConsumedQuantity,ConsumedUnit,SkuId\n"
BILL = (
    FOCUS
    + "2026-11-01T00:00:00Z,Usage,100.5,USD,50,GPU-Hours,x\n"
    + "2026-11-30T23:00:00Z,Credit,-0.5,USD,,,x\n"
    + "2026-12-01T00:00:00Z,Purchase,7,USD,1,GB,x\n"
)


def test_a_focus_export_is_summed_by_month(tmp_path: Path) -> None:
    found = read_billing(write(tmp_path, BILL))
    assert found.usd == {"2026-11": 100.0, "2026-12": 7.0}
    assert found.gpu_hours == {"2026-11": 50.0}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2026-13-01,Usage,1,USD,,,x", "line 5, column 'ChargePeriodStart'"),
        ("2026-11-01T00:00:00Z,Usage,1,EUR,,,x", "expected USD, got 'EUR'"),
        ("2026-11-01T00:00:00Z,Gift,1,USD,,,x", "one of Usage, Purchase"),
        ("2026-11-01T00:00:00Z,Usage,one,USD,,,x", "line 5, column 'EffectiveCost'"),
        ("2026-11-01T00:00:00Z,Usage,1,USD,much,GPU-Hours,x", "line 5, column 'ConsumedQuantity'"),
    ],
)
def test_bad_bills_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_billing(write(tmp_path, BILL + row + "\n"))


GOODPUT = "llm,gpu,precision,tensor_parallel,request_class,measured_rps,available\na,H100,fp8,2,chat,3.5,0.99\n"


def test_goodputs_are_read_and_bad_ones_named(tmp_path: Path) -> None:
    (found,), _ = read_goodput(write(tmp_path, GOODPUT))
    assert (found.tensor_parallel, found.rps, found.available) == (2, 3.5, 0.99)
    for row, message in (
        ("a,H100,fp8,4,chat,0,1", "line 3, column 'measured_rps'"),
        ("a,H100,fp8,4,chat,1,1.5", "line 3, column 'available'"),
        ("a,H100,fp8,2,chat,1,1", "line 3: expected one row a configuration"),
    ):
        with pytest.raises(InputError, match=message):
            read_goodput(write(tmp_path, GOODPUT + row + "\n"))
