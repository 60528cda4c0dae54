"""A dataset described: every class's arrivals, lengths, load, outcomes, tail, drift and quality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from configs.classes import ClassRule, ClassRules
from data.classes import class_names, class_sql
from data.dataset import opened
from data.readers.session import one_row
from data.records import LengthSample
from data.statistics.arrivals import Arrivals, arrivals
from data.statistics.counts import ARRIVAL_METRICS, class_counts
from data.statistics.drift import Drift, drifts
from data.statistics.lengths import Lengths, lengths
from data.statistics.quality import DataReport, Quality, data_report, quality
from data.statistics.tail import LengthTail, length_tail

LEAST_KNOWN = 0.5
"""Share of requests that must say how long they took for measured durations to be used."""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests and tokens in flight by Little's law (rate x time in the system). basis: whether the times are measured,
    or the most that the class's SLO allows. active_tokens counts the prompt and half the output of a request."""

    mean_duration_s: float
    concurrency: float
    concurrency_at_p99_minute: float
    active_tokens: float
    basis: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Shares of requests by how they ended, of those that say; known: the share that does. success is by the class's
    own criterion, None where it cannot be told."""

    known: float
    cancelled: float
    failed: float
    retried: float
    success: float | None
    criterion: str


@dataclass(frozen=True, slots=True)
class ClassProfile:
    """One class; None where the dataset does not say (engine metrics have no joint lengths)."""

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


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """A dataset: its books, its classes in the order of the rules, and how much no rule matched."""

    report: DataReport
    classes: tuple[ClassProfile, ...]
    unmatched_share: float


def _outcomes_sql(rules: ClassRules) -> str:
    ended = ", ".join(
        f"count(*) FILTER (status = '{name}') AS {name}" for name in ("ok", "cancelled", "failed", "retried")
    )
    return (
        f"SELECT {class_sql(rules)} AS class, count(*) AS n, count(status) AS known, {ended}, "
        "count(*) FILTER (output_tokens > 0) AS gave, count(duration_s) AS timed, avg(duration_s) AS took, "
        "avg(duration_s * (input_tokens + output_tokens / 2.0)) AS held FROM requests GROUP BY 1"
    )


def _within_slo(connection: duckdb.DuckDBPyConnection, rules: ClassRules, rule: ClassRule, number: int) -> float | None:
    """Share of the requests that say their times that kept every limit of the class's SLO."""
    if rule.slo is None:
        return None
    e2e = "true" if rule.slo.e2e_s is None else f"duration_s <= {rule.slo.e2e_s}"
    kept = (
        f"ttft_s <= {rule.slo.ttft_s} AND {e2e} AND "
        f"(output_tokens < 2 OR (duration_s - ttft_s) / (output_tokens - 1) <= {rule.slo.tpot_s})"
    )
    (share,) = one_row(
        connection,
        f"SELECT count(*) FILTER ({kept} AND status IS DISTINCT FROM 'failed') / nullif(count(*), 0) FROM requests "
        f"WHERE {class_sql(rules)} = {number} AND duration_s IS NOT NULL AND ttft_s IS NOT NULL",
    )
    return None if share is None else float(str(share))


def _metric_outcomes(connection: duckdb.DuckDBPyConnection, rules: ClassRules) -> dict[int, Outcomes]:
    """Outcomes that engines counted; their `abort` is a cancelled request."""
    listed = ", ".join(f"'{name}'" for name in ARRIVAL_METRICS)
    rows = connection.execute(
        f"SELECT {class_sql(rules, tokens=False)}, sum(value) FILTER (metric IN ({listed})), "
        "coalesce(sum(value) FILTER (metric IN ('cancelled', 'of_which_cancelled')), 0), "
        "coalesce(sum(value) FILTER (metric IN ('failed', 'of_which_failed')), 0), "
        "count(*) FILTER (metric IN ('succeeded', 'cancelled', 'failed') OR starts_with(metric, 'of_which')) "
        "FROM metrics GROUP BY 1"
    ).fetchall()
    return {
        int(number): Outcomes(1.0, gone / all_, bad / all_, 0.0, 1.0 - (gone + bad) / all_, "answered")
        for number, all_, gone, bad, says in rows
        if all_ and says
    }


def _load(
    rule: ClassRule | None, profile: Arrivals, found: Lengths, timed: float, took: float | None, held: float | None
) -> Load | None:
    """Little's law with measured times, else with the SLO's limits."""
    per_second = next((one.mean / one.width_s for one in profile.rates if one.width_s <= 3600), None)
    if per_second is None:
        return None
    minute = next((one for one in profile.rates if one.width_s == 60), None)
    peak = minute.p99 / 60.0 if minute else per_second
    if timed >= LEAST_KNOWN and took is not None and held is not None:
        return Load(took, per_second * took, peak * took, per_second * held, "measured times")
    if rule is None or rule.slo is None:
        return None
    sample: LengthSample = found.sample
    times = rule.slo.ttft_s + rule.slo.tpot_s * sample.output_tokens
    times = times if rule.slo.e2e_s is None else times.clip(max=rule.slo.e2e_s)
    took = float((sample.weight * times).sum())
    held = float((sample.weight * times * (sample.input_tokens + sample.output_tokens / 2.0)).sum())
    return Load(took, per_second * took, peak * took, per_second * held, "the most that the SLO allows")


def describe_dataset(folder: Path, rules: ClassRules, seed: int = 0) -> DatasetProfile:
    """The whole description. One pass for each question, none of which holds the rows in memory."""
    with opened(folder) as (dataset, connection):
        counted, notes = class_counts(connection, rules)
        names = class_names(rules)
        by_name = {rule.name: rule for rule in rules.classes}
        measured = lengths(connection, rules, seed, dataset.sha256()[:12])
        moved = drifts(connection, rules)
        ended = {int(row[0]): row for row in connection.execute(_outcomes_sql(rules)).fetchall()}
        engines = _metric_outcomes(connection, rules)
        gaps = dict(connection.execute(_interarrival_sql(rules)).fetchall())
        rows, alike = one_row(
            connection,
            "SELECT coalesce(sum(n), 0), coalesce(sum(n - 1), 0) FROM "
            "(SELECT count(*) AS n FROM requests GROUP BY row_key)",
        )
        classes = []
        for one in counted:
            number = names.index(one.name)
            rule = by_name.get(one.name)
            profile = arrivals(one, gaps.get(number) if not one.from_metrics else None)
            found = measured.get(one.name)
            load: Load | None = None
            outcomes = engines.get(number)
            if number in ended:
                _, n, known, ok, cancelled, failed, retried, gave, timed, took, held = ended[number]
                criterion = rule.success if rule else "answered"
                success = gave / n if criterion == "first_token" else ok / known if known else None
                if criterion == "within_slo" and rule is not None:
                    success = _within_slo(connection, rules, rule, number)
                of = max(known, 1)
                outcomes = Outcomes(known / n, cancelled / of, failed / of, retried / of, success, criterion)
                if found is not None:
                    load = _load(rule, profile, found, timed / n, took, held)
            classes.append(
                ClassProfile(
                    name=one.name,
                    priority=rule.priority if rule else 0,
                    requests=one.total(),
                    arrivals=profile,
                    quality=quality(one, profile),
                    lengths=found,
                    tail=None if found is None else length_tail(found.sample, seed),
                    load=load,
                    outcomes=outcomes,
                    drift=moved.get(one.name),
                )
            )
    total = sum(one.requests for one in classes)
    unmatched = sum(one.requests for one in classes if one.name == rules.unmatched)
    report = data_report(dataset.sources, int(str(alike)), int(str(rows)))
    report = replace(report, notes=(*report.notes, *notes))
    return DatasetProfile(report, tuple(classes), unmatched / total if total else 0.0)


def _interarrival_sql(rules: ClassRules) -> str:
    """Coefficient of variation of the time between arrivals, by class; a day without any is a gap in the log."""
    return (
        f"WITH r AS (SELECT {class_sql(rules)} AS class, epoch_us(ts) AS t FROM requests), "
        "d AS (SELECT class, t - lag(t) OVER (PARTITION BY class ORDER BY t) AS gap FROM r) "
        "SELECT class, stddev_pop(gap) / nullif(avg(gap), 0) FROM d WHERE gap < 86400000000 GROUP BY 1"
    )
