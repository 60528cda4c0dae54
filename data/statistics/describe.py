"""A dataset described: every class's arrivals, lengths, load, outcomes, tail, drift and quality; and all together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from configs.classes import ClassRules
from data.classes import class_names, class_sql
from data.dataset import opened
from data.readers.session import one_row
from data.statistics.arrivals import Arrivals, arrivals
from data.statistics.attained import Attained, attained
from data.statistics.counts import Counts, class_counts, idle_notes
from data.statistics.drift import Drift, Mix, drifts, mix_drift
from data.statistics.histogram_lengths import engine_lengths
from data.statistics.lengths import Lengths, lengths
from data.statistics.load import Load, Outcomes, endings, engine_outcomes, engine_times, little, outcomes
from data.statistics.quality import DataReport, Quality, data_report, quality
from data.statistics.tail import LengthTail, length_tail

OVERALL = "all classes"


@dataclass(frozen=True, slots=True)
class ClassProfile:
    """One class; None where the dataset does not say."""

    name: str
    priority: int
    requests: float
    arrivals: Arrivals
    quality: Quality
    lengths: Lengths | None
    tail: LengthTail | None
    load: Load | None
    outcomes: Outcomes | None
    drift: Drift | None
    slo: tuple[Attained, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """A dataset: its books, its classes in the order of the rules, all of them as one (None where there is one class),
    how their mix moves, and how much no rule matched."""

    report: DataReport
    classes: tuple[ClassProfile, ...]
    overall: ClassProfile | None
    mix: Mix | None
    unmatched_share: float


def _profiles(
    connection: duckdb.DuckDBPyConnection, rules: ClassRules, counted: tuple[Counts, ...], seed: int, source: str
) -> tuple[ClassProfile, ...]:
    """Every class that has arrivals. One pass for each question, none of which holds the rows in memory."""
    names = class_names(rules)
    by_name = {rule.name: rule for rule in rules.classes}
    measured = lengths(connection, rules, seed, source)
    moved = drifts(connection, rules)
    ended = endings(connection, rules)
    engines = engine_outcomes(connection, rules)
    times = engine_times(connection, rules)
    gaps = dict(connection.execute(_interarrival_sql(rules)).fetchall())
    classes = []
    for one in counted:
        number = names.index(one.name)
        rule = by_name.get(one.name)
        profile = arrivals(one, gaps.get(number) if not one.from_metrics else None)
        logged = ended.get(number)
        found = measured.get(one.name) or engine_lengths(
            connection, f"{class_sql(rules, tokens=False)} = {number}", seed, source
        )
        classes.append(
            ClassProfile(
                name=one.name,
                priority=rule.priority if rule else 0,
                requests=one.total(),
                arrivals=profile,
                quality=quality(one),
                lengths=found,
                tail=None if found is None else length_tail(found.sample, seed),
                load=None if found is None else little(rule, profile, found.sample, logged, times.get(number)),
                outcomes=engines.get(number) if logged is None else outcomes(connection, rules, rule, number, logged),
                drift=moved.get(one.name),
                slo=attained(connection, rules, rule, number),
            )
        )
    return tuple(classes)


def describe_dataset(folder: Path, rules: ClassRules, seed: int = 0) -> DatasetProfile:
    """The whole description."""
    with opened(folder) as (dataset, connection):
        source = dataset.sha256()[:12]
        counted, notes = class_counts(connection, rules)
        classes = _profiles(connection, rules, counted, seed, source)
        overall: ClassProfile | None = None
        if len(classes) > 1:
            everything = ClassRules(unmatched=OVERALL.replace(" ", "-"))
            together, _ = class_counts(connection, everything)
            (overall,) = _profiles(connection, everything, together, seed, source)
            overall = replace(overall, name=OVERALL)
        rows, alike = one_row(
            connection,
            "SELECT coalesce(sum(n), 0), coalesce(sum(n - 1), 0) FROM "
            "(SELECT count(*) AS n FROM requests GROUP BY row_key)",
        )
    total = sum(one.requests for one in classes)
    unmatched = sum(one.requests for one in classes if one.name == rules.unmatched)
    report = data_report(dataset.sources, int(str(alike)), int(str(rows)))
    report = replace(report, notes=(*report.notes, *notes, *idle_notes(rules, counted)))
    return DatasetProfile(report, classes, overall, mix_drift(counted), unmatched / total if total else 0.0)


def _interarrival_sql(rules: ClassRules) -> str:
    """Coefficient of variation of the time between arrivals, by class; a day without any is a gap in the log."""
    return (
        f"WITH r AS (SELECT {class_sql(rules)} AS class, epoch_us(ts) AS t FROM requests), "
        "d AS (SELECT class, t - lag(t) OVER (PARTITION BY class ORDER BY t) AS gap FROM r) "
        "SELECT class, stddev_pop(gap) / nullif(avg(gap), 0) FROM d WHERE gap < 86400000000 GROUP BY 1"
    )
