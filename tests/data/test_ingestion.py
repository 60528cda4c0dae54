"""Ingestion: formats told by content, every row answered for, nothing counted twice."""

from __future__ import annotations

import gzip
import json
import struct
from collections import Counter
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.classes import ClassRules
from configs.errors import InputError
from configs.mapping import LogMapping, StatusWords, load_mapping
from data.dataset import open_dataset, opened
from data.ingestion import ingest_files
from data.readers.mooncake import leading_hits
from data.statistics.counts import class_counts, hourly_series
from tests.data.ingest_files import AZURE, content, csv_text, one, write_csv, write_jsonl, write_parquet

ROWS = [(f"2026-01-05 10:00:{i % 60:02d}.{i:06d}", 100 + i, i % 7 + 1) for i in range(200)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_layout_of_the_same_rows_is_the_same_data(tmp_path: Path) -> None:
    text = csv_text(AZURE, ROWS)
    made = {
        "plain.csv": text.encode(),
        "named.jsonl": text.encode(),
        "packed.csv": gzip.compress(text.encode()),
        "two_members.gz": gzip.compress(text.encode()[:500]) + gzip.compress(text.encode()[500:]),
        "windows.csv": text.replace("\n", "\r\n").encode(),
        "bom.csv": b"\xef\xbb\xbf" + text.encode(),
        "utf16.csv": text.encode("utf-16"),
        "semicolons.csv": text.replace(",", ";").encode(),
        "blank_lines.csv": text.replace("\n", "\n\n").encode(),
        "quoted.csv": text.replace(",101,", ',"101",').encode(),
    }
    wanted = None
    for name, raw in made.items():
        (tmp_path / name).write_bytes(raw)
        folder = tmp_path / f"out-{name}"
        source = one(folder, tmp_path / name).source
        assert source is not None
        assert (source.format, source.rows_in, source.kept) == ("azure", 200, 200), name
        found = content(folder, "*")
        wanted = wanted or found
        assert found == wanted, name
    typed = [(datetime.fromisoformat(t), i, o) for t, i, o in ROWS]
    for path in (
        write_jsonl(tmp_path / "rows.csv", AZURE, ROWS),
        write_parquet(tmp_path / "rows.bin", AZURE, typed),
    ):
        folder = tmp_path / f"out2-{path.name}"
        assert one(folder, path).source.format == "azure"  # type: ignore[union-attr]
        assert content(folder, "*") == wanted, path


def test_the_same_file_twice_changes_no_byte(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", AZURE, [*ROWS, ("never", 1, 1)])
    folder = tmp_path / "out"
    one(folder, path)
    before = files(folder)
    again = one(folder, path)
    assert again.unchanged
    assert files(folder) == before
    # The same content under another name and in another wrapping adds no row.
    packed = tmp_path / "b.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    source = one(folder, packed).source
    assert source is not None
    assert (source.new, source.already_present) == (0, 200)
    assert len(content(folder, "ts")) == 200


def test_another_mapping_for_a_file_that_is_there_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", AZURE, ROWS)
    one(tmp_path / "out", path)
    (answer,) = ingest_files([path], tmp_path / "out", LogMapping(constants={"service": "chat"}))
    assert answer.error is not None
    assert "another one" in answer.error


Row2 = tuple[int, int]
TINY = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2)), max_size=12)


@settings(max_examples=4)
@given(TINY, TINY, TINY)
def test_overlaps_count_as_multisets_in_any_order(a: list[Row2], b: list[Row2], c: list[Row2]) -> None:
    """Oracle: the union of multisets, Counter's `|`."""
    exports = [[(f"2026-01-05 10:00:0{second}", tokens, 5) for second, tokens in rows] for rows in (a, b, c) if rows]
    want: Counter[object] = Counter()
    for rows in exports:
        want |= Counter(rows)
    for order in (exports, exports[::-1]):
        with TemporaryDirectory() as name:
            folder = Path(name)
            for i, rows in enumerate(order):
                one(folder / "out", write_csv(folder / f"{i}.csv", AZURE, rows))
            got = (
                content(folder / "out", "strftime(ts, '%Y-%m-%d %H:%M:%S'), input_tokens, output_tokens")
                if exports
                else []
            )
            assert Counter(got) == want


BAD = (
    (("yesterday", 1, 1), "timestamp: not a time that exists (ISO 8601, or a number of one unit)"),
    (("now", 1, 1), "timestamp: not a time that exists (ISO 8601, or a number of one unit)"),
    (("infinity", 1, 1), "timestamp: not a time that exists (ISO 8601, or a number of one unit)"),
    (("2026-02-30 00:00:00", 1, 1), "timestamp: not a time that exists (ISO 8601, or a number of one unit)"),
    (("1970-01-01 00:00:00", 1, 1), "timestamp: before 2000 or after 2099"),
    (("2026-01-05 10:00:00", "", 1), "input_tokens: empty"),
    (("2026-01-05 10:00:00", -4, 1), "input_tokens: not a whole number from 0"),
    (("2026-01-05 10:00:00", "-1e300", 1), "input_tokens: not a whole number from 0"),
    (("2026-01-05 10:00:00", "12.5", 1), "input_tokens: not a whole number from 0"),
    (("2026-01-05 10:00:00", "1_0", 1), "input_tokens: not a whole number from 0"),
    (("2026-01-05 10:00:00", "0x10", 1), "input_tokens: not a whole number from 0"),
    (("2026-01-05 10:00:00", 5, "nan"), "output_tokens: not a whole number from 0"),
    (("2026-01-05 10:00:00", 5, "1e400"), "output_tokens: more than 100,000,000"),
    (("2026-01-05 10:00:00", 5, "1e30"), "output_tokens: more than 100,000,000"),
    (("2026-01-05 10:00:00", 0, 0), "neither input nor output tokens"),
    (("2026-01-05 10:00:00", 1), "2 fields where the header has 3"),
    (("2026-01-05 10:00:00", 1, 2, 3), "4 fields where the header has 3"),
    (("2026-01-05 10:00:00\x00", 1, 2), "a control character"),
)


def test_a_bad_row_is_rejected_with_its_reason_line_and_text(tmp_path: Path) -> None:
    rows = [row for row, _ in BAD]
    answer = one(tmp_path / "out", write_csv(tmp_path / "a.csv", AZURE, [ROWS[0], *rows, ROWS[1]]))
    assert answer.source is not None
    assert answer.source.kept == 2
    assert answer.source.reasons == Counter(reason for _, reason in BAD)
    assert answer.rejects is not None
    records = map(json.loads, answer.rejects.read_text(encoding="utf-8").splitlines())
    found = {record["line"]: record for record in records}
    for line, (row, reason) in enumerate(BAD, start=3):
        assert found[line]["reason"] == reason
        assert str(row[0])[:10] in found[line]["text"]


def test_names_are_cleaned_and_said(tmp_path: Path) -> None:
    header = (*AZURE, "tenant")
    names = ['=HYPERLINK("http://x")', "+1", "@SUM(A1)", "o'hara; DROP TABLE requests", "tab\tname", "-", "", "x" * 300]
    rows = [(*ROWS[i], name) for i, name in enumerate(names)]
    mapping = LogMapping(
        timestamp="TIMESTAMP", input_tokens="ContextTokens", output_tokens="GeneratedTokens", tenant="tenant"
    )
    source = one(tmp_path / "out", write_csv(tmp_path / "a.csv", header, rows), mapping=mapping).source
    assert source is not None
    assert (source.kept, source.repaired) == (3, 5)
    found = {row[0] for row in content(tmp_path / "out", "tenant")}
    assert found == {
        '\'=HYPERLINK("http://x")',
        "'+1",
        "'@SUM(A1)",
        "o'hara; DROP TABLE requests",
        "tabname",
        None,
        "x" * 200,
    }


def test_bytes_that_are_not_utf8_cost_a_repair_not_a_row(tmp_path: Path) -> None:
    path = tmp_path / "latin1.csv"
    path.write_bytes("timestamp,input_tokens,output_tokens,tenant\n2026-01-05 10:00:00,5,6,café\n".encode("latin-1"))
    source = one(tmp_path / "out", path).source
    assert source is not None
    assert (source.repaired, source.rejected) == (1, 0)
    assert content(tmp_path / "out", "tenant") == [("caf�",)]


def test_a_gzip_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    raw = gzip.compress(csv_text(AZURE, ROWS).encode())
    (tmp_path / "cut.gz").write_bytes(raw[: len(raw) // 2])
    source = one(tmp_path / "out", tmp_path / "cut.gz").source
    assert source is not None
    assert 20 < source.kept < 200
    assert any("breaks off" in note for note in source.notes)


def test_a_generic_log_by_usual_names_and_by_mapping(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records = [
        {
            "created_at": 1767607200 + i,
            "model": "Llama-3.1-8B",
            "usage": {"prompt_tokens": 10 + i, "completion_tokens": 3},
        }
        for i in range(5)
    ]
    log.write_text("".join(json.dumps(one_record) + "\n" for one_record in records), encoding="utf-8")
    source = one(tmp_path / "usual", log).source
    assert source is not None
    assert source.format == "request_log"
    assert content(tmp_path / "usual", "ts, llm, input_tokens, output_tokens")[0] == (
        datetime(2026, 1, 5, 10), "Llama-3.1-8B", 10, 3,
    )  # fmt: skip
    yaml = tmp_path / "map.yaml"
    yaml.write_text(
        "timestamp: when\ntimestamp_unit: ms\nstart: 2026-01-05\ninput_tokens: p\noutput_tokens: g\nstatus: code\n"
        "status_words: {cancelled: ['418']}\nduration_s: took\nduration_unit: ms\nconstants: {region: eu-north}\n",
        encoding="utf-8",
    )
    path = write_csv(
        tmp_path / "odd.csv", ("when", "p", "g", "code", "took"),
        [(0, 5, 6, "200", 1500), (250, 5, "", "418", 20), (500, 7, 8, "weird", -3)],
    )  # fmt: skip
    source = one(tmp_path / "mapped", path, mapping=load_mapping(yaml)).source
    assert source is not None
    assert (source.kept, source.repaired) == (2, 1)
    assert content(tmp_path / "mapped", "epoch_ms(ts) - 1767571200000, output_tokens, status, duration_s, region") == [
        (0, 6, "ok", 1.5, "eu-north"), (250, 0, "cancelled", 0.02, "eu-north"), (500, 8, None, None, "eu-north"),
    ]  # fmt: skip


HTTP = [("200", "ok"), ("204", "ok"), ("429", "failed"), ("404", "failed"), ("499", "cancelled"), ("500", "failed"),
        ("501", "failed"), ("529", "failed"), ("302", None), ("5000", None), ("", None)]  # fmt: skip


@pytest.mark.parametrize("form", ["text", "floats", "floats in Parquet"])
def test_status_codes_of_every_hundred_and_as_floats(tmp_path: Path, form: str) -> None:
    """A table with a hole keeps its codes as floats."""
    header = ("timestamp", "input_tokens", "output_tokens", "status")
    times = [f"2026-01-05T10:00:{i:02d}Z" for i in range(len(HTTP))]
    if form == "floats in Parquet":
        rows = [(t, i, 5, float(code or "nan")) for i, (t, (code, _)) in enumerate(zip(times, HTTP, strict=True))]
        path = write_parquet(tmp_path / "a.parquet", header, rows)
    else:
        end = ".0" if form == "floats" else ""
        lines = [(t, i, 5, code and code + end) for i, (t, (code, _)) in enumerate(zip(times, HTTP, strict=True))]
        path = write_csv(tmp_path / "a.csv", header, lines)
    source = one(tmp_path / "out", path).source
    assert source is not None
    assert source.repairs == {"a status that is not known is dropped": 2}
    assert [status for _, status in sorted(content(tmp_path / "out", "input_tokens, status"))] == [s for _, s in HTTP]


def test_a_mapping_names_codes_one_by_one_before_it_names_hundreds(tmp_path: Path) -> None:
    mapping = LogMapping(status_words=StatusWords(cancelled=("4xx",), failed=("429", "3XX"), ok=("503",)))
    codes = [("404", "cancelled"), ("429", "failed"), ("302", "failed"), ("503", "ok"), ("500", "failed")]
    header = ("timestamp", "input_tokens", "output_tokens", "status")
    rows = [("2026-01-05T10:00:00Z", i, 5, code) for i, (code, _) in enumerate(codes)]
    one(tmp_path / "out", write_csv(tmp_path / "a.csv", header, rows), mapping=mapping)
    assert [status for _, status in sorted(content(tmp_path / "out", "input_tokens, status"))] == [s for _, s in codes]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_epoch_units_are_told_by_their_size(tmp_path: Path, unit: str, factor: int) -> None:
    header = ("timestamp", "input_tokens", "output_tokens")
    path = write_csv(tmp_path / "a.csv", header, [((1767607200 + i) * factor, 5, 6) for i in range(3)])
    one(tmp_path / "out", path)
    assert content(tmp_path / "out", "epoch(ts)::BIGINT")[0] == (1767607200,), unit


def test_clock_changes(tmp_path: Path) -> None:
    header = ("timestamp", "input_tokens", "output_tokens")
    rows = [
        ("2026-03-29 01:30:00", 1, 1), ("2026-03-29 02:30:00", 2, 1), ("2026-03-29 03:30:00", 3, 1),
        ("2026-10-25 02:30:00", 4, 1), ("2026-10-25T02:30:00+01:00", 5, 1),
    ]  # fmt: skip
    source = one(
        tmp_path / "out", write_csv(tmp_path / "a.csv", header, rows), mapping=LogMapping(time_zone="Europe/Paris")
    ).source
    assert source is not None
    assert source.reasons == {"timestamp: not a time that exists (ISO 8601, or a number of one unit)": 1}
    assert source.repairs["an hour that a clock change repeats: the first of the two is taken"] == 1
    got = dict(content(tmp_path / "out", "input_tokens, ts"))
    assert got == {
        1: datetime(2026, 3, 29, 0, 30), 3: datetime(2026, 3, 29, 1, 30), 4: datetime(2026, 10, 25, 0, 30),
        5: datetime(2026, 10, 25, 1, 30),
    }  # fmt: skip
    with pytest.raises(InputError, match="IANA zone"):
        raise_first(tmp_path / "x", tmp_path / "a.csv", "Mars/Olympus")


def raise_first(folder: Path, path: Path, zone: str) -> None:
    (answer,) = ingest_files([path], folder, LogMapping(time_zone=zone))
    assert answer.error is not None
    raise InputError("x", answer.error, "", "")


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_basic_iso_8601(tmp_path: Path, write: Any) -> None:
    """The standard library's reader is the oracle; what is no such time is rejected as before."""
    texts = ["20261025T023000Z", "20261025T023001+0200",
             "20261025T023002.25-05:00", "20261025t023003Z", "20261025T0231Z",
             "20261025T033004", "20261025T0332"]  # fmt: skip
    bad = ["20261325T023000Z", "20261025T02Z", "2026102TT023000Z"]
    path = write(tmp_path / "a", ("timestamp", "input_tokens", "output_tokens"), [(t, 1, 1) for t in texts + bad])
    source = one(tmp_path / "out", path, mapping=LogMapping(time_zone="Europe/Paris")).source
    assert source is not None
    assert source.reasons == {"timestamp: not a time that exists (ISO 8601, or a number of one unit)": 3}
    read = [datetime.fromisoformat(text.upper()) for text in texts]
    zoned = [t if t.tzinfo else t.replace(tzinfo=ZoneInfo("Europe/Paris")) for t in read]
    want = sorted(t.astimezone(UTC).replace(tzinfo=None) for t in zoned)
    assert sorted(t for (t,) in content(tmp_path / "out", "ts")) == want


@pytest.mark.parametrize("declared", ["UTC", "Europe/Paris"])
def test_times_that_name_their_zone(tmp_path: Path, declared: str) -> None:
    """Whatever zone is declared for times without one; the standard library's zones are the oracle."""
    named = [
        ("2026-07-01 06:30:00 GMT", "UTC"),
        ("2026-07-01 06:30:01 UTC", "UTC"),
        ("2026-07-01 06:30:02.123456 utc", "UTC"),
        ("2026-07-01T06:30:03 America/New_York", "America/New_York"),
        ("2026-12-01 06:30:04 America/New_York", "America/New_York"),
        ("2026-12-01 06:30:05 Asia/Kolkata", "Asia/Kolkata"),
        ("2026-12-01 06:30:06 Etc/GMT+5", "Etc/GMT+5"),
    ]
    bad = ["2026-07-01 06:30:07 CST", "2026-07-01 06:30:08 PM", "2026-07-01 06:30:09 Mars/Olympus"]
    rows = [(text, 1, 1) for text in (*(text for text, _ in named), *bad)]
    path = write_csv(tmp_path / "a.csv", ("timestamp", "input_tokens", "output_tokens"), rows)
    source = one(tmp_path / "out", path, mapping=LogMapping(time_zone=declared)).source
    assert source is not None
    assert source.reasons == {
        "timestamp: a zone that is neither an offset, UTC, GMT nor an IANA name": 2,
        "timestamp: not a time that exists (ISO 8601, or a number of one unit)": 1,
    }
    assert source.repairs == {}
    assert not any("without offset" in note for note in source.notes)
    said = [datetime.fromisoformat(text.rsplit(" ", 1)[0]) for text, _ in named]
    want = [t.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
            for t, (_, zone) in zip(said, named, strict=True)]  # fmt: skip
    assert sorted(t for (t,) in content(tmp_path / "out", "ts")) == sorted(want)


def test_request_ids_make_exact_repeats_rejects(tmp_path: Path) -> None:
    header = ("timestamp", "input_tokens", "output_tokens", "request_id")
    rows = [("2026-01-05 10:00:00", 5, 6, "a"), ("2026-01-05 10:00:00", 5, 6, "a"), ("2026-01-05 10:00:09", 5, 6, "a")]
    source = one(tmp_path / "out", write_csv(tmp_path / "a.csv", header, rows)).source
    assert source is not None
    assert source.reasons == {"an id that an earlier row has, with the same content": 1}
    assert source.new == 2


def test_burstgpt_request_level_both_layouts(tmp_path: Path) -> None:
    old = (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,10,0,10,API log\n"
    )
    new = (
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5.5,abc,2.25,ChatGPT,472,18,490,Conversation log\n"
    )
    (tmp_path / "old.csv").write_text(old, encoding="utf-8")
    (tmp_path / "new.csv").write_text(new, encoding="utf-8")
    answers = ingest_files(
        [tmp_path / "old.csv", tmp_path / "new.csv"], tmp_path / "out", LogMapping(start=date(2026, 1, 5))
    )
    assert [answer.source.format for answer in answers if answer.source] == ["burstgpt", "burstgpt"]
    assert content(tmp_path / "out", "ts, llm, service, status, duration_s") == [
        (datetime(2026, 1, 5, 0, 0, 45), "GPT-4", "API log", "failed", None),
        (datetime(2026, 1, 5, 0, 0, 5), "ChatGPT", "Conversation log", "ok", None),
        (datetime(2026, 1, 5, 0, 0, 5, 500_000), "ChatGPT", "Conversation log", "ok", 2.25),
    ]


def test_hourly_counts(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "h.csv", ("day", "hour", "chat", "api", "all"),
        [(0, 0, 5, 1, 6), (0, 1, 7, 2, 9), (0, 1, 7, 2, 9), (0, 1, 8, 2, 10), (0, 24, 1, 1, 2), (1, 0, -1, 2, 1)],
    )  # fmt: skip
    answer = one(tmp_path / "out", path, mapping=LogMapping(start=date(2026, 1, 5)))
    assert answer.source is not None
    assert answer.source.format == "burstgpt_hourly"
    assert answer.source.reasons == {
        "a second row for its hour, with the same counts": 1,
        "a second row for its hour, with other counts": 1,
        "hour: not a whole number from 0 to 23": 1,
        "count: not a number from 0": 1,
    }
    assert content(tmp_path / "out", "service, hour(ts), value", "metrics") == [
        ("api", 0, 1.0), ("api", 1, 2.0), ("chat", 0, 5.0), ("chat", 1, 7.0),
    ]  # fmt: skip
    # A later export that says something else of an hour does not overwrite it, and is counted.
    later = write_csv(tmp_path / "l.csv", ("day", "hour", "chat", "api"), [(0, 1, 7, 3), (0, 2, 1, 1)])
    source = one(tmp_path / "out", later, mapping=LogMapping(start=date(2026, 1, 5))).source
    assert source is not None
    assert (source.new, source.already_present, source.conflicting) == (2, 1, 1)


def test_hourly_counts_by_the_clock_of_a_zone(tmp_path: Path) -> None:
    """Three days about each clock change of Paris: 02:00 is skipped on one Sunday, and twice there on the other."""
    for name, day, shift, bad, spread in (
        ("spring", date(2026, 3, 28), -1, 1, 0),
        ("autumn", date(2026, 10, 24), 1, 0, 1),
    ):
        rows = [(d, h, 100 + h) for d in range(3) for h in range(24)]
        path = write_csv(tmp_path / f"{name}.csv", ("day", "hour", "chat"), rows)
        mapping = LogMapping(start=day, time_zone="Europe/Paris")
        source = one(tmp_path / name, path, mapping=mapping).source
        assert source is not None
        assert (source.rejected, source.repaired) == (bad, spread)
        assert f"day 0 is placed on {day}, by declaration; hours are Europe/Paris" in source.notes
        with opened(tmp_path / name) as (_, connection):
            (counts,), _ = class_counts(connection, ClassRules())
        series = hourly_series(counts)
        assert len(series) == 72 + shift
        local = series.tz_convert("Europe/Paris")
        assert local.index[0] == pd.Timestamp(day, tz="Europe/Paris")
        twice = (local.index.hour == 2) & (local.index.day == 25) & (spread == 1)
        assert local[~twice].to_numpy() == pytest.approx(100.0 + local.index.hour[~twice])
        assert local[twice].to_numpy() == pytest.approx([51.0, 51.0][: int(twice.sum())])
        assert twice.sum() == 2 * spread


def test_relative_times_begin_at_midnight_of_the_zone(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ("timestamp", "input_tokens", "output_tokens"), [(0, 1, 1), (90_000, 2, 1)])
    mapping = LogMapping(start=date(2026, 9, 7), time_zone="Asia/Tokyo")
    source = one(tmp_path / "out", path, mapping=mapping).source
    assert source is not None
    assert dict(content(tmp_path / "out", "input_tokens, ts")) == {
        1: datetime(2026, 9, 6, 15), 2: datetime(2026, 9, 7, 16),
    }  # fmt: skip
    assert any("placed on 2026-09-07 by declaration, at midnight in Asia/Tokyo" in note for note in source.notes)


def test_mooncake_replays_prefix_blocks_in_order_of_arrival(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    records = [
        {"timestamp": 2000, "input_length": 1600, "output_length": 5, "hash_ids": [0, 1, 9, 3]},
        {"timestamp": 0, "input_length": 1500, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 3000, "input_length": 1024, "output_length": 5, "hash_ids": [0, 1]},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert one(tmp_path / "out", path).source.format == "mooncake"  # type: ignore[union-attr]
    # The first request to arrive finds nothing; the second its first two blocks; the third all but its last token.
    assert content(tmp_path / "out", "second(ts), cached_tokens") == [(0, 0), (2, 1024), (3, 1023)]


@given(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=12))
def test_leading_hits_against_its_definition(requests: list[list[int]]) -> None:
    seen: set[int] = set()
    for i, blocks in enumerate(requests):
        earlier = {block for other in requests[:i] for block in other}
        want = next((k for k, block in enumerate(blocks) if block not in earlier), len(blocks))
        assert leading_hits(blocks, seen) == want


def test_files_that_cannot_be_read_are_answered_and_the_others_go_on(tmp_path: Path) -> None:
    good = write_csv(tmp_path / "good.csv", AZURE, ROWS)
    (tmp_path / "prose.txt").write_text("# A title\n\nProse.\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    (tmp_path / "header.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n", encoding="utf-8")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + b"\x07" * 200)
    (tmp_path / "twice.csv").write_text("timestamp,a,a\n1,2,3\n", encoding="utf-8")
    (tmp_path / "none.csv").write_text("when,p,g\n1,2,3\n", encoding="utf-8")
    names = ["prose.txt", "empty.csv", "header.csv", "broken.parquet", "twice.csv", "none.csv", "absent.csv"]
    answers = ingest_files([*(tmp_path / name for name in names), good], tmp_path / "out")
    for answer, word in zip(
        answers[:-1],
        ["begins with '# A title'", "empty file", "header alone", "whole Parquet", "twice", "'when'", "no such file"],
        strict=True,
    ):
        assert answer.error is not None
        assert word in answer.error
    assert answers[-1].source is not None
    assert [source.name for source in open_dataset(tmp_path / "out").sources] == ["good.csv"]


@pytest.mark.parametrize(
    ("row", "want"),
    [
        ((date(2026, 1, 5), 7, 8), "'timestamp': expected when each request arrived, with its time of day, got dates"),
        ((time(10, 30), 7, 8), "'timestamp': expected times (TIMESTAMP, text, or a number)"),
        ((datetime(2026, 1, 5, 10), [7], 8), "'input_tokens': expected numbers for input_tokens, got values of"),
        ((datetime(2026, 1, 5, 10), 7, True), "'output_tokens': expected numbers for output_tokens, got values of"),
    ],
)  # fmt: skip
def test_a_typed_column_that_cannot_be_read_is_named(tmp_path: Path, row: tuple[Any, ...], want: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", ("timestamp", "input_tokens", "output_tokens"), [row] * 3)
    (answer,) = ingest_files([path], tmp_path / "out")
    assert answer.error is not None
    assert want in answer.error
    assert "whole Parquet" not in answer.error


@pytest.mark.parametrize("name", ["requests", "Count", "num_requests", "request_count", "n_requests"])
def test_a_table_of_hourly_sums_is_no_log(tmp_path: Path, name: str) -> None:
    """A thousand requests an hour would be one; where the mapping says that rows are requests, they are."""
    rows = [(f"2026-01-05T{h:02d}:00:00Z", 1000, 5_000, 900) for h in range(24)]
    path = write_csv(tmp_path / "a.csv", ("timestamp", name, "input_tokens", "output_tokens"), rows)
    (answer,) = ingest_files([path], tmp_path / "out")
    assert answer.error is not None
    assert f"a column {name!r}, which counts" in answer.error
    assert "day,hour,<series>" in answer.error
    source = one(tmp_path / "out", path, mapping=LogMapping(rows="requests")).source
    assert source is not None
    assert source.kept == 24
    named = write_csv(tmp_path / "b.csv", ("timestamp", name, "input_tokens", "output_tokens"), rows)
    assert one(tmp_path / "ids", named, mapping=LogMapping(service=name)).source is not None


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="a folder that holds"):
        ingest_files([tmp_path / "thesis.txt"], tmp_path)
    with pytest.raises(InputError, match="no match"):
        ingest_files([str(tmp_path / "*.nothing")], tmp_path / "out")


def test_what_an_interrupted_writer_left_is_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    one(folder, write_csv(tmp_path / "a.csv", AZURE, ROWS))
    before = content(folder, "*")
    (folder / "parts" / ".partial-1.parquet").write_bytes(b"half")
    (folder / ".scratch-x").mkdir()
    one(folder, write_csv(tmp_path / "b.csv", AZURE, ROWS[:3]))
    assert content(folder, "*") == before
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]


def test_times_in_the_dataset_are_utc(tmp_path: Path) -> None:
    header = ("timestamp", "input_tokens", "output_tokens")
    one(tmp_path / "out", write_csv(tmp_path / "a.csv", header, [("2026-01-05T12:00:00+02:00", 5, 6)]))
    assert content(tmp_path / "out", "ts") == [(datetime(2026, 1, 5, 10, tzinfo=UTC).replace(tzinfo=None),)]


def test_a_parquet_file_whose_statistics_lie(tmp_path: Path) -> None:
    """One damaged value in a page, under a footer that says that no value is above 200."""
    names = ("timestamp", "input_tokens", "output_tokens")
    rows = [(1_767_607_200 + i, 77 if i == 50 else 100 + i % 7, 5) for i in range(100)]
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    path = tmp_path / "t.parquet"
    pq.write_table(table.set_column(1, "input_tokens", pa.array([50, *[r[1] for r in rows[1:-1]], 200])), path,
                   compression="none", use_dictionary=False)  # fmt: skip
    raw, value = path.read_bytes(), struct.pack("<q", 77)
    assert raw.count(value) == 1
    path.write_bytes(raw.replace(value, struct.pack("<q", 294_669_116_243_987)))
    source = one(tmp_path / "out", path).source
    assert source is not None
    assert (source.kept, source.reasons) == (99, {"input_tokens: more than 100,000,000": 1})


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_is_read_element_by_element(tmp_path: Path, indent: int | None) -> None:
    rows: list[Any] = [
        {"timestamp": f"2026-01-05T10:00:{i:02d}Z", "usage": {"prompt_tokens": 100 + i, "completion_tokens": 7}}
        for i in range(20)
    ]
    (tmp_path / "a.json").write_text(json.dumps([*rows, {"timestamp": "soon"}, 7, None], indent=indent))
    source = one(tmp_path / "out", tmp_path / "a.json").source
    assert source is not None
    assert (source.rows_in, source.kept, source.rejected) == (23, 20, 3)
    assert content(tmp_path / "out", "sum(input_tokens), sum(output_tokens)") == [(2190, 140)]
    (tmp_path / "cut.json").write_text(json.dumps(rows)[:-30])
    (answer,) = ingest_files([tmp_path / "cut.json"], tmp_path / "out")
    assert answer.error is not None, "what is cut off is no array"


def test_parquet_times_of_nanoseconds_with_a_zone_are_read(tmp_path: Path) -> None:
    """What pandas writes of zoned times by default."""
    at = pd.date_range("2026-01-05 11:00", periods=30, freq="7s", tz="Europe/Paris").as_unit("ns")
    pd.DataFrame({"timestamp": at, "input_tokens": 100.0, "output_tokens": 5}).to_parquet(tmp_path / "p.parquet")
    source = one(tmp_path / "out", tmp_path / "p.parquet").source
    assert source is not None
    assert (source.kept, source.repaired) == (30, 0)
    assert content(tmp_path / "out", "min(ts), max(ts)") == [
        (datetime(2026, 1, 5, 10), datetime(2026, 1, 5, 10, 3, 23))
    ]
