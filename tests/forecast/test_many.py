"""Many series: coherent sums, borrowed shapes, what reduction loses, and processes that give what one process gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from configs.forecasting import ForecastPolicy
from data.frames import checked_history
from data.history import TrafficHistory
from data.records import SeriesKey
from forecast import parallel
from forecast.hierarchy import Sums, groups_of
from forecast.portfolio import forecast
from forecast.scenarios import Month, demand_from_summaries, reduction, summarise
from tests.forecast.test_portfolio import POLICY, history, seasonal


def keyed(series: dict[SeriesKey, np.ndarray]) -> TrafficHistory:
    frames = []
    for key, values in series.items():
        ts = pd.date_range(end="2026-10-11 23:00", periods=len(values), freq="h", tz="UTC")
        frames.append(
            pd.DataFrame(
                {
                    "llm": key.llm, "request_class": key.request_class, "region": key.region, "ts": ts,
                    "requests": values, "input_tokens": values, "output_tokens": values, "observed": True,
                }
            )
        )  # fmt: skip
    return TrafficHistory(checked_history(pd.concat(frames, ignore_index=True)), {}, (), {})


def test_sums_are_coherent_path_by_path() -> None:
    keys = [SeriesKey("a", "chat", "us"), SeriesKey("a", "code", "us"), SeriesKey("b", "chat", "eu")]
    assert groups_of(keys) == {"all": [0, 1, 2], "llm a": [0, 1], "request_class chat": [0, 2]}
    rng = np.random.default_rng(0)
    paths = [rng.gamma(2.0, 10.0, (50, 48)).astype(np.float32) for _ in keys]
    sums = Sums(keys, 50, 48)
    for i, one in enumerate(paths):
        sums.add(i, one)
    months = (Month("2026-12", 0, 48),)
    found = {one.name: one for one in sums.quantiles(months, [0.5, 0.9])}
    whole = (paths[0] + paths[1]).astype(np.float64)
    assert found["llm a"].monthly_total[0] == pytest.approx(np.quantile(whole.sum(axis=1), [0.5, 0.9]), rel=1e-5)
    assert found["llm a"].monthly_peak_hour[0] == pytest.approx(np.quantile(whole.max(axis=1), [0.5, 0.9]), rel=1e-5)


def test_the_sum_of_independent_series_is_surer_than_its_parts_and_its_peak_is_lower() -> None:
    found = forecast(history(a=seasonal(10), b=seasonal(10, seed=5)), POLICY, 1)
    (whole,) = found.groups
    levels = found.series[0].levels
    low, middle, high = (levels.index(q) for q in (0.1, 0.5, 0.9))
    parts = sum(one.monthly_total[0] for one in found.series)
    assert whole.monthly_total[0, middle] == pytest.approx(parts[middle], rel=0.02)
    assert whole.monthly_total[0, high] - whole.monthly_total[0, low] <= 1.01 * (parts[high] - parts[low])
    assert found.reduction.volume < 0.01, "group means keep the expected volume"
    assert found.reduction.peak < 0.02, "five scenarios have an edge at 95 %"
    assert found.reduction.sum_peak >= -0.01, "peaks planned at once are never less than the peak of the sum"


@pytest.mark.parametrize("scenarios", [1, 3, 5, 15, 30, 60])
def test_what_scenarios_lose_is_stated_and_shrinks_with_their_number(scenarios: int) -> None:
    """Against the paths themselves: means kept, the spread that is lost stated, the 95 % peak always an edge."""
    rng = np.random.default_rng(0)
    months = (Month("2026-12", 0, 744),)
    level = rng.lognormal(0.0, 0.3, (200, 1))
    paths = (level * rng.gamma(4.0, 10.0, (200, 744))).astype(np.float32)
    one = summarise(paths, months)
    demand = demand_from_summaries((SeriesKey("a", "chat", "us"),), [one], months, scenarios, 1.0)
    lost = reduction(demand, [one], months, one.peak, 1.0)
    assert demand.probabilities.sum() == pytest.approx(1.0)
    assert (demand.probabilities > 0.0).all()
    assert np.isfinite(demand.rps).all()
    whole = one.blocks[:, 0, 1:] @ np.array([block.hours for block in demand.blocks[1:]])
    volumes = 3600.0 * np.einsum("bs,b->s", demand.rps[0, 0, 1:], [block.hours for block in demand.blocks[1:]])
    assert demand.probabilities @ volumes == pytest.approx(whole.mean(), rel=0.02)
    left = np.sqrt(demand.probabilities @ np.square(volumes - demand.probabilities @ volumes))
    assert 1.0 - left / whole.std() == pytest.approx(lost.spread, abs=1e-6)
    assert lost.spread < {1: 1.01, 3: 0.4}.get(scenarios, 0.15)
    if scenarios >= 5:
        assert lost.peak < 1e-6
        edge = int(np.argmin(np.abs(np.cumsum(demand.probabilities) - 0.95)))
        assert demand.rps[0, 0, 0, edge] * 3600.0 == pytest.approx(np.quantile(one.peak, 0.95), rel=1e-6)


def test_a_new_series_borrows_the_shape_of_its_class() -> None:
    old, other = seasonal(10), np.roll(seasonal(10, seed=2), 12)
    keys = {
        SeriesKey("old", "chat", "us"): old,
        SeriesKey("other", "code", "us"): other,
        SeriesKey("new", "chat", "us"): 3.0 * old[-100:],
    }
    found = {one.key.llm: one for one in forecast(keyed(keys), POLICY, 1).series}
    new = found["new"]
    assert "pooled shape" in new.method
    assert new.grade == "D"
    middle = new.levels.index(0.5)
    ratio = new.hourly[: 4 * 168, middle] / found["old"].hourly[: 4 * 168, middle]
    assert np.median(ratio) == pytest.approx(3.0, rel=0.15)
    assert np.corrcoef(new.hourly[:168, middle], found["old"].hourly[:168, middle])[0, 1] > 0.9
    width = [(f.monthly_total[0, -1] - f.monthly_total[0, 0]) / f.monthly_total[0, middle] for f in found.values()]
    assert width[list(found).index("new")] > 2.0 * width[list(found).index("old")], "a new service is less sure"


@pytest.mark.slow
def test_processes_give_what_one_process_gives_and_say_how_far_they_are() -> None:
    series = {f"s{i}": seasonal(5, seed=i) for i in range(12)}
    said: list[str] = []
    alone = forecast(history(**series), POLICY.model_copy(update={"workers": 1}), 3)
    together = forecast(history(**series), POLICY.model_copy(update={"workers": 2}), 3, said.append)
    assert (alone.demand.rps == together.demand.rps).all()
    assert said[-1] == "  series 12 of 12"


def test_a_pool_that_dies_is_replaced_by_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        def __init__(self, *_: object, **__: object) -> None:
            raise OSError("no more processes")

    monkeypatch.setattr(parallel, "ProcessPoolExecutor", Dead)
    said: list[str] = []
    policy = ForecastPolicy(horizon_months=1, backtest_windows=2, paths=50, workers=2)
    found = forecast(history(a=seasonal(4), b=seasonal(4, seed=1)), policy, 1, said.append)
    assert len(found.series) == 2
    assert any("no more processes" in text for text in said)
