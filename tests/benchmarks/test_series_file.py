"""Anyone's series: read as they are meant, and what is left out is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.series_file import read_series
from configs.errors import InputError


def csv(folder: Path, *rows: str, head: str = "series_id,ts,y") -> Path:
    path = folder / "series.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_finer_steps_are_summed_and_columns_become_series(tmp_path: Path) -> None:
    ts = pd.date_range("2026-01-01", periods=8, freq="30min")
    pd.DataFrame({"series_id": 7, "ts": ts, "y": np.arange(8.0)}).to_csv(tmp_path / "fine.csv", index=False)
    assert read_series(tmp_path / "fine.csv")["7"].tolist() == [1.0, 5.0, 9.0, 13.0]
    pd.DataFrame({"day": [0, 0, 1], "hour": [0, 1, 0], "a": [1, 2, 3], "b": 0}).to_csv(tmp_path / "d.csv", index=False)
    found = read_series(tmp_path / "d.csv")
    assert sorted(found) == ["a", "b"]
    assert found["a"].dropna().tolist() == [1.0, 2.0, 3.0]
    assert len(found["a"]) == 25


def test_what_is_below_zero_counts_as_zero_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ts = pd.date_range("2026-01-01", periods=4, freq="h")
    pd.DataFrame({"series_id": "wind", "ts": ts, "y": [1.0, -0.5, -2.0, 3.0]}).to_csv(tmp_path / "net.csv", index=False)
    assert read_series(tmp_path / "net.csv")["wind"].tolist() == [1.0, 0.0, 0.0, 3.0]
    assert "wind: 2 values below zero" in capsys.readouterr().err


def test_ids_are_text_and_rows_without_one_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = ["001", "1", "NA", "null", "1.0", ""]
    found = read_series(csv(tmp_path, *(f"{name},2026-01-01T00:00Z,{i}" for i, name in enumerate(ids))))
    assert {name: float(values.iloc[0]) for name, values in found.items()} == {
        name: float(i) for i, name in enumerate(ids) if name
    }
    assert "1 rows without a series_id" in capsys.readouterr().err


def test_a_repeated_instant_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["a,2026-01-01T00:00Z,5", "a,2026-01-01T00:00:00+00:00,5", "a,2026-01-01T01:00+01:00,", "b,2026-01-01,7"]
    found = read_series(csv(tmp_path, *rows))
    assert {name: values.tolist() for name, values in found.items()} == {"a": [5.0], "b": [7.0]}
    said = capsys.readouterr().err
    assert "2 rows repeat" in said
    assert "several values" not in said
    assert read_series(csv(tmp_path, *rows, "a,2026-01-01 00:00,6"))["a"].tolist() == [6.0]
    assert "1 instants have several values" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", [15, 30])
def test_an_hour_without_all_its_parts_is_unobserved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], minutes: int
) -> None:
    ts = pd.date_range("2026-01-01", periods=10 * 60 // minutes, freq=f"{minutes}min")
    frame = pd.DataFrame({"series_id": "a", "ts": ts, "y": 1.0})
    frame.loc[ts == "2026-01-01 03:30", "y"] = np.nan
    frame = frame[ts != "2026-01-01 06:30"]
    frame.to_csv(tmp_path / "fine.csv", index=False)
    expected = np.full(10, 60.0 / minutes)
    expected[[3, 6]] = np.nan
    np.testing.assert_array_equal(read_series(tmp_path / "fine.csv")["a"], expected)
    assert "a: 2 hours of which a part is missing" in capsys.readouterr().err


def test_events_have_no_usual_number_an_hour(tmp_path: Path) -> None:
    """A row a request at uneven seconds: a quiet hour is a small one, not a torn one."""
    seconds = np.unique(np.concatenate([np.random.default_rng(0).integers(0, 3600, 400), 3600 + np.arange(5) * 611]))
    rows = (f"a,{pd.Timestamp('2026-01-01') + pd.Timedelta(seconds=int(s))},1" for s in seconds)
    assert read_series(csv(tmp_path, *rows))["a"].tolist() == [(seconds < 3600).sum(), 5.0]


def test_what_is_no_number_is_unobserved_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ["1", "inf", "-1e300", '"1,234.5"', "", "NaN", "n/a", "2e3"]
    found = read_series(csv(tmp_path, *(f"a,2026-01-01T{i:02d}:00,{y}" for i, y in enumerate(values))))
    np.testing.assert_array_equal(found["a"], [1.0] + [np.nan] * 6 + [2000.0])
    said = capsys.readouterr().err
    assert "2 values that are infinite" in said
    assert "1 values that are no numbers" in said
    assert "1,234.5" in said
    assert "below zero" not in said
    with pytest.raises(InputError, match=r"1,234\.5"):
        read_series(csv(tmp_path, 'a,2026-01-01,"1,234.5"'))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_unix_time_is_known_by_its_size(tmp_path: Path, unit: str) -> None:
    each = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    rows = (f"a,{(1_767_225_600 + 3600 * i) * each},{i}" for i in range(3))
    found = read_series(csv(tmp_path, *rows, head="unique_id,ds,y"))["a"]
    assert found.tolist() == [0.0, 1.0, 2.0]
    assert found.index[0] == pd.Timestamp("2026-01-01", tz="UTC")


def test_timestamps_of_several_spellings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [
        "2026-01-01 00:00:00",
        "2026-01-01T01:00:00Z",
        "2026-01-01T03:00:00.000+01:00",
        "20260101T0300",
        "late",
        "",
    ]
    found = read_series(csv(tmp_path, *(f"a,{ts},{i}" for i, ts in enumerate(given))))["a"]
    assert found.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert "2 rows whose ts is no timestamp" in capsys.readouterr().err
    for order in ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"):
        ts = pd.date_range("2026-01-01", periods=20 * 24, freq="h")
        slashed = read_series(csv(tmp_path, *(f"a,{t:{order}},1" for t in ts)))["a"]
        assert (len(slashed), slashed.index[-1]) == (20 * 24, ts[-1].tz_localize("UTC"))
    for unclear in ("01/02/2026 00:00", "late", "7"):
        with pytest.raises(InputError, match="expected timestamps"):
            read_series(csv(tmp_path, f"a,{unclear},1"))


def test_parquet_of_categories_is_what_its_csv_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ts = pd.date_range("2026-01-01", periods=3, freq="h")
    frame = pd.DataFrame({"series_id": pd.Categorical(["b"] * 3, ["a", "b"]), "ts": ts, "y": [1.0, -1.0, 2.0]})
    frame.to_parquet(tmp_path / "cat.parquet")
    assert {name: values.tolist() for name, values in read_series(tmp_path / "cat.parquet").items()} == {
        "b": [1.0, 0.0, 2.0]
    }
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == ["b"]
    frame.set_index(["series_id", "ts"]).to_parquet(tmp_path / "index.parquet")
    assert read_series(tmp_path / "index.parquet")["b"].tolist() == [1.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("head.csv", b"series_id,ts,y\n"),
        ("latin.csv", "series_id,ts,y\n\u00e9,2026-01-01,1\n".encode("latin-1")),
        ("torn.csv", b'series_id,ts,y\n"a,2026-01-01,1\n'),
        ("no.parquet", b"series_id,ts,y\n"),
        ("columns.csv", b"id,time,value\na,2026-01-01,1\n"),
        ("nameless.csv", b"series_id,ts,y\n,2026-01-01,1\n"),
        ("long.csv", b"series_id,ts,y\na,1026-01-01,1\na,2026-01-01,1\n"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="expected"):
        read_series(tmp_path / name)
    with pytest.raises(InputError, match="absent"):
        read_series(tmp_path / "absent.csv")
