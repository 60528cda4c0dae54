"""Every way a trace can be broken has its own message, or a repair that says what it did."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import InputError
from configs.traffic import Ingested
from data.hourly import read_hourly_counts
from data.ingested import ingested_hours
from data.ingestion import ingest_files
from data.requests import RequestTable, hourly, read_requests

DAY0 = date(2026, 9, 30)
HEADER = "day,hour,n\n"


def hours(count: int, skip: frozenset[int] = frozenset()) -> str:
    return HEADER + "".join(f"{h // 24},{h % 24},{h % 7}\n" for h in range(count) if h not in skip)


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "where", "expected"),
    [
        ("", "t.csv", "rows of data, got an empty file"),
        (HEADER, "t.csv", "rows of data, got a header alone"),
        ("day,hour,count\n0,0,1\n", "header", "the column 'n', got the columns 'day', 'hour', 'count'"),
        (hours(48).replace("1,0,3", "1,0,-3"), "line 26, column 'n'", "at least 0, got '-3'"),
        (hours(48).replace("1,0,3", "1,0,many"), "line 26, column 'n'", "got 'many'"),
        (hours(48).replace("1,0,3", "1,0,"), "line 26, column 'n'", "got ''"),
        (hours(48).replace("1,0,3", "1,0,nan"), "line 26, column 'n'", "got 'nan'"),
        (hours(48).replace("1,0,3", "1,0,inf"), "line 26, column 'n'", "got 'inf'"),
        (hours(48).replace("1,0,3", "1,24,3"), "line 26, column 'hour'", "a whole number from 0 to 23, got '24'"),
        (hours(48).replace("1,0,3", "1.5,0,3"), "line 26, column 'day'", "a whole number from 0 to"),
        (hours(3), "t.csv", "at least 24 hours of history"),
        (hours(48) + "1,3,999\n", "line 50", "a second row for day 1 hour 3 with another count"),
        (hours(48) + "1,3,1,1,1\n", "t.csv", "one row a line"),
        (b"day,hour,n\n0,0,\xff\n", "line 2", "UTF-8 text, got byte 0xff"),
        (b"day,hour,n\n0,0,\x00\n", "line 2", "a NUL byte"),
        (gzip.compress(hours(48).encode())[:-20], "t.csv", "a complete gzip file"),
        (b"\x1f\x8b" + b"garbage", "t.csv", "a complete gzip file"),
    ],
)  # fmt: skip
def test_faults_in_hourly_counts(tmp_path: Path, content: str | bytes, where: str, expected: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_hourly_counts(path, "n", DAY0)
    assert str(path) in caught.value.where
    assert where in caught.value.where
    assert expected in str(caught.value)
    assert caught.value.fix


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_hourly_counts(tmp_path / "nowhere.csv", "n", DAY0)


def test_gzip_is_read_whatever_the_name(tmp_path: Path) -> None:
    plain = read_hourly_counts(write(tmp_path, hours(48)), "n", DAY0)
    packed = read_hourly_counts(write(tmp_path, gzip.compress(hours(48).encode()), "z.csv"), "n", DAY0)
    assert packed.requests.equals(plain.requests)


def test_a_gap_is_left_unobserved_and_noted(tmp_path: Path) -> None:
    read = read_hourly_counts(write(tmp_path, hours(96, skip=frozenset({30, 31, 50}))), "n", DAY0)
    assert len(read.requests) == 96
    assert read.requests.isna().sum() == 3
    (note,) = read.notes
    assert "3 of 96 hours are missing in 2 gaps (longest 2 h, the first from 2026-10-01 06:00 UTC)" in note.text


def test_exact_copies_are_dropped_with_a_note(tmp_path: Path) -> None:
    content = hours(48)
    read = read_hourly_counts(write(tmp_path, content + content.split("\n")[5] + "\n"), "n", DAY0)
    assert len(read.requests) == 48
    assert "1 rows repeat" in read.notes[0].text


LOG = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def log(*rows: str) -> str:
    return LOG + "".join(row + "\n" for row in rows)


def read_log(path: Path, zone: str = "UTC") -> RequestTable:
    return read_requests(path, "TIMESTAMP", "ContextTokens", "GeneratedTokens", zone)


@pytest.mark.parametrize(
    ("content", "where", "expected"),
    [
        (log("2026-01-01 00:00:00,1,1", "yesterday,1,1"), "line 3", "'yesterday,1,1' (timestamp: not a time"),
        (
            log("2026-01-01 00:00:00,1,1", "2026-13-01 00:00:00,1,1"),
            "line 3",
            "(timestamp: not a time that exists (ISO 8601, or a number of one unit))",
        ),
        (log("2026-01-01 00:00:00,-4,1"), "line 2", "(input_tokens: not a whole number from 0)"),
        (log("2026-01-01 00:00:00,4,1e99"), "line 2", "(output_tokens: more than 100,000,000)"),
        (log("2026-01-01 00:00:00,4,1", "2026-01-01 00:00:00,4"), "line 3", "(2 fields where the header has 3)"),
        ("time,in,out\n1,2,3\n", "t.csv", "the column 'TIMESTAMP'"),
        (log(*["2026-01-01 00:00:00,4,1"] * 30), "t.csv", "distinct requests"),
    ],
)
def test_faults_in_request_logs(tmp_path: Path, content: str, where: str, expected: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_log(path)
    assert where in caught.value.where
    assert expected in str(caught.value)


def test_times_with_and_without_offset_are_said(tmp_path: Path) -> None:
    table = read_log(write(tmp_path, log("2026-01-01T00:00:00Z,1,1", "2026-01-01 00:00:01,1,1")))
    assert "without offset among times with one" in table.notes[0].text
    assert not read_log(write(tmp_path, log("2026-01-01 00:00:00,1,1", "2026-01-01 00:00:01,1,1"))).notes


def test_an_hour_that_a_clock_change_skips_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, log("2026-03-29 02:30:00,1,1"))
    with pytest.raises(InputError, match="not a time that exists"):
        read_log(path, "Europe/Paris")
    assert read_log(path).frame["ts"].iloc[0].hour == 2


def test_an_unknown_zone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="IANA zone"):
        read_log(write(tmp_path, log("2026-03-29 02:30:00,1,1")), "Mars/Olympus")


def test_offsets_are_honoured_and_order_is_repaired(tmp_path: Path) -> None:
    table = read_log(write(tmp_path, log("2026-01-01T02:00:00+02:00,5,6", "2025-12-31T23:00:00Z,7,8")))
    assert [ts.isoformat() for ts in table.frame["ts"]] == ["2025-12-31T23:00:00+00:00", "2026-01-01T00:00:00+00:00"]
    assert list(table.frame["input_tokens"]) == [7, 5]
    assert "earlier than the row before" in table.notes[0].text


def test_hourly_totals_conserve_requests_and_drop_partial_ends(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    minutes = np.sort(rng.integers(30, 24 * 60 - 30, 2000))
    rows = [f"2026-01-01T{m // 60:02d}:{m % 60:02d}:{i % 60:02d}Z,{1 + i % 97},{i % 13}" for i, m in enumerate(minutes)]
    by_hour, notes = hourly(read_log(write(tmp_path, log(*rows))))
    inside = (minutes >= 60) & (minutes < 23 * 60)
    assert by_hour.sum() == inside.sum()
    assert len(by_hour) == 22
    assert notes == []


@pytest.mark.parametrize("rate_per_h", [0.5, 2.0, 30.0])
def test_a_plan_from_a_log_and_one_from_the_ingested_log_read_the_same_hours(tmp_path: Path, rate_per_h: float) -> None:
    """Empty hours among quiet ones count as 0, so that the mean is the log's; a lost day of a busy log does not."""
    rng = np.random.default_rng(5)
    seconds = np.sort(rng.uniform(0, 21 * 86_400, rng.poisson(rate_per_h * 21 * 24)))
    seconds = seconds[(seconds < 7 * 86_400) | (seconds >= 8 * 86_400)]
    stray = ["2027-03-01T00:00:00Z,5,5"]
    rows = [f"{np.datetime64('2026-01-05T00:00:00') + int(s)}Z,{1 + i},5" for i, s in enumerate(seconds)] + stray
    path = write(tmp_path, log(*rows))
    mine, notes = hourly(read_log(path))
    assert ingest_files([path], tmp_path / "out")[0].error is None
    theirs, _, _ = ingested_hours(Ingested(kind="ingested", dataset="out"), tmp_path, None, "all")
    pd.testing.assert_series_equal(mine.asfreq("h"), theirs)
    assert notes == ["1 requests lie more than 60 days away from the others and are in no count by time"]
    assert mine.isna().sum() == (24 if rate_per_h > 10 else 0)
    seen = len(seconds) / (20 if rate_per_h > 10 else 21) / 24
    assert mine.mean() == pytest.approx(seen, rel=0.02)
