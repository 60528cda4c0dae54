"""Request files with gaps: what lacks is left out and counted, and moves no other figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import scheduler
from benchmarks.inputs import table_of
from configs.errors import InputError
from tests.benchmarks.test_commands import COST


def made(count: int = 9, qps: float = 2.0) -> pd.DataFrame:
    rows = [("made", qps, 1.0 + i / qps, 100, 5, 0.02 + 0.001 * i, 0.011, 0.07) for i in range(count)]
    return pd.DataFrame(rows, columns=list(scheduler.COLUMNS))


def only(requests: pd.DataFrame, cost: dict[str, Any] = COST) -> dict[str, Any]:
    (row,) = scheduler.score(requests, cost)["rates"]
    assert isinstance(row, dict)
    return row


def test_rates_of_unequal_length_are_each_scored_in_full() -> None:
    short, long = made(9, 2.0), made(12, 1.0)
    found = scheduler.score(pd.concat([short, long]), COST)
    assert found["requests"] == 21
    assert found["rates"] == [only(long), only(short)]


def test_missing_times_are_left_out_of_their_own_percentiles_alone() -> None:
    whole, gaps = made(), made()
    gaps.loc[8, ["ttft", "e2e"]] = np.nan
    found = only(gaps)
    assert (found["without_ttft"], found["without_tpot"], found["without_e2e"]) == (1, 0, 1)
    assert found["tpot_p50"] == only(whole)["tpot_p50"]
    assert found["ttft_p50"]["theirs_s"] == pytest.approx(0.0235)
    assert found["throughput_rps"]["theirs"] == pytest.approx(8 / 3.57)
    # Its load is there all the same: the eighth request ends as it does beside a ninth.
    assert found["throughput_rps"]["ours"] == pytest.approx(8 / 3.57, rel=0.02)


def test_requests_without_a_length_or_an_arrival_are_left_out() -> None:
    more = pd.concat([made(), made(2).assign(request_num_decode_tokens=np.nan), made(1).assign(arrival=np.nan)])
    found = only(more)
    assert (found["requests"], found["left_out"]) == (9, 3)
    assert {**found, "left_out": 0} == only(made())
    with pytest.raises(InputError, match="none in 2 rows"):
        scheduler.score(made(2).assign(arrival=np.nan), COST)


def test_the_wall_clock_is_as_good_as_any() -> None:
    found, plain = only(made().assign(arrival=lambda one: one.arrival + 1.7e9)), only(made())
    for name in ("ttft_p99", "tpot_p99"):
        assert found[name]["ours_s"] == pytest.approx(plain[name]["ours_s"], rel=1e-4)
    assert found["throughput_rps"]["theirs"] == pytest.approx(plain["throughput_rps"]["theirs"], rel=1e-4)


def test_a_case_without_a_name_is_scored() -> None:
    assert only(made().assign(case=np.nan))["case"] == ""


def test_step_costs_are_sorted_or_refused() -> None:
    mixed = COST | {"tokens": [1024, 1, 512], "linear_s": [0.04, 0.01, 0.02]}
    assert only(made(), mixed) == only(made())
    for wrong in ({"tokens": [1, 512]}, {"tokens": [1, 512, 512]}, {"decode_s": [1e-4]}, {"kv_blocks": "many"}):
        with pytest.raises(InputError):
            scheduler.score(made(), COST | wrong)


def test_headers_may_have_spaces(tmp_path: Any) -> None:
    path = tmp_path / "spaced.csv"
    path.write_text("tokens, time_us \n1, 2.5\n", encoding="utf-8")
    assert table_of(path, "a table", ("tokens", "time_us")).time_us.tolist() == [2.5]


def test_speed_is_of_the_same_requests_and_its_ratio_of_both_simulators_seconds() -> None:
    requests = pd.concat([made(9, 2.0), made(12, 1.0)])
    theirs = pd.DataFrame([("made", 2.0, 9, 50, 0.5, 1.5), ("made", 1.0, 9, 70, 1.5, 2.5)], columns=scheduler.SPEEDS)
    found = scheduler.speed(requests, COST, 5, theirs)
    # Both rates, cut to nine requests each, three times over.
    assert (found["lanes"], found["requests"]) == (6, 54)
    assert found["iterations"] % 3 == 0
    assert found["requests_per_cpu_s"] == pytest.approx(54 / found["cpu_s"])
    assert found["theirs"]["requests_per_cpu_s"] == pytest.approx(18 / 2.0)
    assert found["over_theirs_in_cpu_s"] == pytest.approx(54 / found["cpu_s"] / 9.0)
    assert found["over_theirs_in_wall_s"] == pytest.approx(54 / found["wall_s"] / 4.5)
    # At 100 us an iteration another simulator does as many requests in iterations x 100 us.
    stated = found["over_stated"]["100 us an iteration"]
    assert stated == pytest.approx(found["iterations"] * 1e-4 / found["cpu_s"])
    assert found["over_stated"]["600 us an iteration"] == pytest.approx(6 * stated)
    with pytest.raises(InputError, match="case and rate"):
        scheduler.speed(requests, COST, 5, theirs.assign(case="another"))
