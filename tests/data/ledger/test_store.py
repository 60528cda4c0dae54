"""What is written is what is read; nothing is written twice; nothing can be changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from configs.errors import InputError
from data.ledger import connect as connecting
from data.ledger import read, tables
from data.ledger.connect import connect, reading, sqlite_url, writing
from data.ledger.content import canonical, get, pack, sha256, unpack
from data.ledger.copy import copy
from data.ledger.records import Actual, series_key, series_label
from data.ledger.store import by_month, overlaid, record, review, write_actuals
from tests.data.ledger.samples import SCENARIO, START, actual, key, sample_run


def rows(url: str) -> dict[str, int]:
    ledger = connect(url)
    return reading(
        ledger,
        lambda c: {t.name: int(c.execute(text(f"SELECT count(*) FROM {t.name}")).scalar_one()) for t in tables.TABLES},
    )


def test_a_run_comes_back_as_it_was_recorded(url: str) -> None:
    ledger, run = connect(url), sample_run(1)
    record(ledger, run)
    found = read.find_run(ledger, run.id[:6])
    assert (found.id, found.kind, found.fingerprint) == (run.id, "plan", run.fingerprint)
    for one in run.entries:
        assert read.content(ledger, found.entries[one.role, one.name]) == one.content
    series = {k: (vintages, what) for k, vintages, what in read.said_and_done(ledger, SCENARIO)}
    assert set(series) == {one.key for one in run.vintages}
    for said, done in zip(run.vintages, run.actuals, strict=True):
        (back,), what = series[said.key]
        assert np.array_equal(back.hourly, said.hourly)
        assert (back.issued_from, back.first_hour, back.levels) == (said.issued_from, said.first_hour, said.levels)
        assert what is not None
        assert np.array_equal(what.between(done.first_hour, done.end), done.requests)
    assert read.verify(ledger) == ()


def test_recording_again_changes_nothing_and_another_run_of_that_name_is_refused(url: str) -> None:
    ledger = connect(url)
    record(ledger, sample_run(1))
    before = rows(url)
    record(ledger, sample_run(1))
    assert rows(url) == before
    with pytest.raises(InputError, match="recorded before"):
        record(ledger, replace(sample_run(2), id=sample_run(1).id))
    assert rows(url) == before


def test_shared_content_is_stored_once(url: str) -> None:
    ledger = connect(url)
    for number in range(3):
        record(ledger, sample_run(number))
    hashes = {read.find_run(ledger, f"run-{n:05d}").entries["catalog", "gpus.yaml"] for n in range(3)}
    assert hashes == {sha256(b"the same in every run")}
    contents = 1 + 3 * (1 + 3 + 1 + 1)  # shared; then a plan, three vintages, a correction and a manifest a run
    assert rows(url)["blob"] - rows(url)["actual"] == contents


@pytest.mark.parametrize("table", [t.name for t in tables.TABLES])
def test_nothing_can_be_changed_or_deleted(url: str, table: str) -> None:
    ledger = connect(url)
    record(ledger, sample_run(1))
    correction = read.corrections(ledger)[0].id
    review(ledger, correction, "accepted", "someone", "")
    column = inspect(ledger).get_columns(table)[0]["name"]
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        with pytest.raises(DBAPIError, match="append-only"):
            writing(ledger, lambda c, statement=statement: c.execute(text(statement)))  # type: ignore[misc]


def test_the_tables_are_those_of_the_newest_migration(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    ledger = connect(url)
    with ledger.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    assert differences == []
    script = ScriptDirectory(str(Path(tables.__file__).parent / "migrations"))
    assert script.get_current_head() == tables.HEAD


LATER = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("run", sa.Column("asked_by", sa.String(100)))
    op.create_table("extra", sa.Column("id", sa.Integer(), primary_key=True))
    {last}
"""


def test_a_ledger_of_the_first_version_is_migrated_whole_or_not_at_all(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = connect(url)
    for number in range(3):
        record(ledger, sample_run(number))
    review(ledger, read.corrections(ledger)[0].id, "accepted", "ada", "")
    before, counts = (read.runs(ledger), read.corrections(ledger)), rows(url)
    versions = tmp_path / "migrations" / "versions"
    shutil.copytree(connecting.MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(connecting, "MIGRATIONS", tmp_path / "migrations")
    monkeypatch.setattr(connecting, "HEAD", "0002")
    (versions / "v0002_broken.py").write_text(LATER.format(last="raise RuntimeError('power cut')"), encoding="utf-8")
    with pytest.raises(RuntimeError, match="power cut"):
        connect(url)
    (versions / "v0002_broken.py").unlink()
    assert "asked_by" not in {column["name"] for column in inspect(ledger).get_columns("run")}
    assert not inspect(ledger).has_table("extra")
    assert read.verify(ledger) == ()
    (versions / "v0002_whole.py").write_text(LATER.format(last="pass"), encoding="utf-8")
    migrated = connect(url)
    assert inspect(migrated).has_table("extra")
    assert (read.runs(migrated), read.corrections(migrated)) == before
    assert rows(url) == counts
    assert read.verify(migrated) == ()
    with pytest.raises(DBAPIError, match="append-only"):
        writing(migrated, lambda c: c.execute(text("DELETE FROM run")))
    record(migrated, sample_run(3))
    assert len(read.runs(migrated)) == 4


def test_a_ledger_from_the_future_is_left_alone(url: str) -> None:
    ledger = connect(url)
    writing(ledger, lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(InputError, match="newer fleetcast"):
        connect(url)


def test_corrections_are_open_until_reviewed_and_the_last_review_holds(url: str) -> None:
    ledger = connect(url)
    record(ledger, sample_run(1))
    record(ledger, replace(sample_run(1), id="again"))
    (line,) = read.corrections(ledger, SCENARIO)
    assert line.verdict == "open"
    review(ledger, line.id, "accepted", "ada", "plausible")
    review(ledger, line.id, "rejected", "bob", "a holiday")
    (line,) = read.corrections(ledger)
    assert (line.verdict, line.reviewer, line.note) == ("rejected", "bob", "a holiday")
    with pytest.raises(InputError, match="'nonesuch'"):
        review(ledger, "nonesuch", "accepted", "ada", "")


def test_later_actuals_complete_earlier_ones_and_both_stay(url: str) -> None:
    ledger, first = connect(url), actual(0, 40)
    gap = Actual(key(), START, first.requests.copy())
    gap.requests[100:200] = np.nan
    corrected = Actual(key(), START, np.full(24, 7.0))
    assert writing(ledger, lambda c: write_actuals(c, SCENARIO, [gap])) == 2
    assert writing(ledger, lambda c: write_actuals(c, SCENARIO, [gap])) == 0
    assert writing(ledger, lambda c: write_actuals(c, SCENARIO, [first])) == 1
    assert writing(ledger, lambda c: write_actuals(c, SCENARIO, [corrected])) == 1
    label = series_label(key())
    found = reading(ledger, lambda c: read.newest_actuals(c, SCENARIO, [label]))[label]
    expected = first.requests.copy()
    expected[:24] = 7.0
    assert np.array_equal(found.between(START, first.end), expected)
    assert rows(url)["actual"] == 4


def test_unknown_and_ambiguous_runs_are_answered_with_what_there_is(url: str) -> None:
    ledger = connect(url)
    with pytest.raises(InputError, match="empty"):
        read.find_run(ledger, "x")
    record(ledger, sample_run(1))
    record(ledger, sample_run(2))
    with pytest.raises(InputError, match="2 runs"):
        read.find_run(ledger, "run-0000")
    with pytest.raises(InputError, match="Runs recorded last: run-00002"):
        read.find_run(ledger, "x")


def test_damage_is_found(tmp_path: Path) -> None:
    ledger = connect(sqlite_url(tmp_path / "ledger.sqlite"))
    record(ledger, sample_run(1))
    victim = sha256(b"the same in every run")

    def damage(c):  # type: ignore[no-untyped-def]
        c.execute(text("DROP TRIGGER blob_no_update"))
        c.execute(text("UPDATE blob SET content = :new WHERE sha256 = :key"), {"new": b"changed", "key": victim})

    writing(ledger, damage)
    assert any(victim[:12] in fault for fault in read.verify(ledger))
    with pytest.raises(InputError, match="other content"):
        reading(ledger, lambda c: get(c, [victim]))


@pytest.mark.parametrize("bad", ["nonsense", "mysql://x/y", "sqlite+nonesuch:///x"])
def test_urls_that_cannot_be_a_ledger_are_named(bad: str) -> None:
    with pytest.raises(InputError, match="postgresql://"):
        connect(bad)


arrays = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20).map(np.array)


@given(st.dictionaries(st.text(max_size=5), arrays, max_size=4))
def test_packed_arrays_come_back_bit_for_bit(given_arrays: dict[str, np.ndarray]) -> None:
    meta, back = unpack(pack({"a": [1, "x"]}, given_arrays))
    assert meta == {"a": [1, "x"]}
    assert set(back) == set(given_arrays)
    for name, values in given_arrays.items():
        assert back[name].tobytes() == values.tobytes()


@given(st.integers(0, 5000), st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=1, max_size=2000))
def test_months_join_to_what_was_cut(shift: int, values: list[float | None]) -> None:
    requests = np.array([np.nan if v is None else v for v in values])
    one = Actual(key(), START + np.timedelta64(shift, "h"), requests)
    back = np.full(len(requests), np.nan)
    for month, chunk in by_month(one).items():
        start = np.datetime64(month, "M").astype("datetime64[h]")
        back = overlaid(back, Actual(key(), start, chunk).between(one.first_hour, one.end))
    assert np.array_equal(back, requests, equal_nan=True)


def test_labels_are_canonical() -> None:
    assert series_key(series_label(key(3))) == key(3)
    assert canonical({"b": 1, "a": [1.5]}) == canonical(json.loads('{ "a": [1.5], "b": 1 }'))
    with pytest.raises(ValueError):
        canonical(float("nan"))


def test_a_copy_is_the_same_ledger(url: str, tmp_path: Path) -> None:
    source = connect(sqlite_url(tmp_path / "source.sqlite"))
    for number in range(3):
        record(source, sample_run(number))
    review(source, read.corrections(source)[0].id, "accepted", "ada", "")
    assert copy(source, url) == rows(str(source.url))
    target = connect(url)
    assert read.runs(target) == read.runs(source)
    assert read.corrections(target) == read.corrections(source)
    record(target, sample_run(3))
    assert read.verify(target) == ()
    with pytest.raises(InputError, match="an empty ledger"):
        copy(source, url)
