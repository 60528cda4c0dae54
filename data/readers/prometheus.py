"""Prometheus range queries (JSON of the HTTP API) of vLLM, SGLang, TensorRT-LLM, Triton and TGI into metric rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.mapping import LogMapping
from data.readers import counters
from data.readers.counters import Binned, binned_counter, binned_gauge, grid_width
from data.readers.fields import FIRST_YEAR, LABELS, LAST_YEAR
from data.readers.lines import reject_record
from data.readers.metric_names import LABEL_NAMES, RANK_LABELS, Meaning, meaning
from data.readers.metrics import ARRIVAL_METRICS, STANDING_IN, UNSEEN, MetricRow, midnight_us, write_metrics
from data.readers.outcome import Outcome
from data.readers.staging import Staged
from data.readers.triton import around_the_llm, replica_and_model
from data.records import FloatArray
from data.units import SECONDS_PER_HOUR

MOST_BYTES = 1 << 30
"""A range query is read whole, series by series; a gigabyte of JSON is a year of 15-second samples of 50 series."""
MOST_NAMED = 6
LEAST_FOR_A_STEP = 10
"""Samples whose median distance is taken for the step of a series."""
_EARLIEST = midnight_us(FIRST_YEAR, 1, 1) / 1e6
_LATEST = midnight_us(LAST_YEAR, 1, 1) / 1e6


@dataclass(frozen=True, slots=True)
class Series:
    """One time series of an export that is understood, its samples clean and ascending."""

    meaning: Meaning
    part: str
    labels: Mapping[str, str]
    le: float | None
    t: FloatArray
    v: FloatArray


def _documents(staged: Staged) -> Iterator[Any]:
    """Every JSON document of a file: one, a list of them, or one a line."""
    if staged.path.stat().st_size > MOST_BYTES:
        raise InputError(str(staged.source), "at most 1 GiB of JSON", "more", "Export shorter spans or fewer metrics.")
    text = staged.path.read_bytes().decode(errors="replace")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        documents = []
        for line in text.splitlines():
            try:
                documents.append(json.loads(line))
            except (ValueError, RecursionError):
                documents.append(None)
        if not any(isinstance(one, dict) for one in documents):
            raise InputError(str(staged.source), "whole JSON", f"a damaged one ({error})", "Export it again.") from None
        yield from documents
        return
    if isinstance(whole, list):
        yield from whole
    else:
        yield whole


def _results(document: Any) -> list[Any] | None:
    """The series of one API answer; None where it is none."""
    if not isinstance(document, dict):
        return None
    data = document.get("data", document)
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        return None
    return list(data["result"])


class _Rejects:
    """Rejected samples, counted by reason; `line` is the ordinal of the series."""

    def __init__(self, path: Path) -> None:
        self.reasons: Counter[str] = Counter()
        self._handle = path.open("w", encoding="utf-8")

    def add(self, ordinal: int, reason: str, text: str, samples: int = 1) -> None:
        self._handle.write(reject_record(ordinal, reason, text, samples))
        self.reasons[reason] += samples

    def close(self) -> None:
        self._handle.close()


def _samples(one: Mapping[str, Any], name: str, ordinal: int, rejects: _Rejects) -> tuple[FloatArray, FloatArray]:
    """Times (s) and values of a series, ascending; samples that are no numbers, repeated or impossible are rejected."""
    found: dict[float, float] = {}
    values = one.get("values")
    for pair in values if isinstance(values, list) else []:
        try:
            t, v = float(pair[0]), float(pair[1])
        except (TypeError, ValueError, IndexError, KeyError, OverflowError):
            rejects.add(ordinal, "a sample that is no pair of numbers", f"{name} {pair!r:.80}")
            continue
        if t > 1e11:
            t /= 1000.0
        if not _EARLIEST <= t < _LATEST:
            rejects.add(ordinal, f"a time before {FIRST_YEAR} or after {LAST_YEAR - 1}", f"{name} {pair!r:.80}")
        elif not 0 <= v < 1e18:
            rejects.add(ordinal, "a value that is negative, absurd or no number", f"{name} {pair!r:.80}")
        elif t in found:
            rejects.add(ordinal, "a second sample at the same time", f"{name} {pair!r:.80}")
        else:
            found[t] = v
    times = sorted(found)
    return np.array(times, dtype=np.float64), np.array([found[x] for x in times], dtype=np.float64)


def _labels(raw: Mapping[str, str], mapping: LogMapping) -> dict[str, str]:
    """Canonical labels of a series, and under `instance` all others, so that replicas stay apart."""
    labels: dict[str, str] = {}
    for field in LABELS:
        own = getattr(mapping, field)
        for name in (own,) if own else LABEL_NAMES[field]:
            if raw.get(name):
                labels[field] = raw[name]
                break
    labels |= {str(name): value for name, value in mapping.constants.items()}
    rest = {name: value for name, value in raw.items() if name not in ("__name__", "le")}
    return labels | {"instance": json.dumps(rest, sort_keys=True)}


def _edge(raw: Mapping[str, str]) -> float | None:
    try:
        return float(raw["le"])
    except (KeyError, ValueError):
        return None


def _read(staged: Staged, mapping: LogMapping, rejects: _Rejects) -> tuple[list[Series], int, Counter[str], set[str]]:
    """Every series that is understood, the number of samples in the file, how many samples were not in order, and the
    names of metrics that are not used."""
    found: list[Series] = []
    samples = 0
    disorder: Counter[str] = Counter()
    unused: set[str] = set()
    ordinal = 0
    for document in _documents(staged):
        results = _results(document)
        if results is None:
            samples += 1
            rejects.add(ordinal, "not the answer to a range query (resultType matrix)", f"{document!r:.120}")
            continue
        for one in results:
            ordinal += 1
            metric = one.get("metric") if isinstance(one, dict) else None
            values = one.get("values") if isinstance(one, dict) else None
            values = values if isinstance(values, list) else []
            count = len(values)
            if not isinstance(metric, dict) or count == 0:
                samples += 1
                rejects.add(ordinal, "a series without labels or samples", f"{one!r:.120}")
                continue
            samples += count
            raw = {str(key): str(value)[:200] for key, value in metric.items()}
            name = raw.get("__name__", "")
            known = meaning(name, raw)
            reason = ""
            if not name:
                reason = "a series without a name: export the metric itself, not a rate() or a sum() of it"
            elif known is None:
                reason = "a metric that is not used"
                unused.add(name[:60])
            elif any(raw.get(label, "0") != "0" for label in RANK_LABELS):
                reason = "another rank of the same replica"
            elif known[1] == "bucket" and _edge(raw) is None:
                reason = "a histogram bucket without an edge"
            if reason or known is None:
                rejects.add(ordinal, reason, name, count)
                continue
            times = [pair[0] for pair in values if isinstance(pair, list) and pair and isinstance(pair[0], int | float)]
            disorder["late"] += sum(a > b for a, b in pairwise(times))
            t, v = _samples(one, name, ordinal, rejects)
            found.append(Series(*known, _labels(raw, mapping), _edge(raw), t, v))
    return found, samples, disorder, unused


def _current_names(series: list[Series], rejects: _Rejects) -> list[Series]:
    """Without the series that the same replica also exports under a newer name."""
    best: dict[tuple[object, ...], int] = {}

    def key(one: Series) -> tuple[object, ...]:
        return one.meaning.metric, one.part, one.le, one.labels["instance"]

    for one in series:
        best[key(one)] = min(best.get(key(one), one.meaning.rank), one.meaning.rank)
    older = [one.meaning.rank > best[key(one)] for one in series]
    for ordinal, one in enumerate(series, start=1):
        if older[ordinal - 1] and len(one.t):
            text = f"{one.meaning.engine} {one.meaning.metric}"
            rejects.add(ordinal, "an older name of a metric that is there under its newer one", text, len(one.t))
    return [one for one, out in zip(series, older, strict=True) if not out]


def replica_series(staged: Staged, scratch: Path) -> list[Series]:
    """The series of one export that are understood, each under its current name, for readers that need more than
    counts by interval. Raises InputError where the file is no JSON."""
    rejects = _Rejects(scratch / f"{staged.sha256}.rejects")
    try:
        series, _, _, _ = _read(staged, LogMapping(), rejects)
        return _without_steps(_current_names(series, rejects), rejects)[0]
    finally:
        rejects.close()


def _without_steps(series: list[Series], rejects: _Rejects) -> tuple[list[Series], list[str]]:
    """Without what Triton counts of one request at the models around its LLM, and notes."""
    counted = [one.meaning.engine == "triton" and one.meaning.shape == "counter" for one in series]
    steps, side_by_side = around_the_llm(
        one.labels["instance"] for one, yes in zip(series, counted, strict=True) if yes
    )
    kept = []
    for ordinal, (one, yes) in enumerate(zip(series, counted, strict=True), start=1):
        if yes and one.labels["instance"] in steps:
            text = f"{one.meaning.metric} of {replica_and_model(one.labels['instance'])[1]}"
            rejects.add(ordinal, "a step around the LLM: the same requests again", text, len(one.t))
        else:
            kept.append(one)
    several = f"Triton counts {', '.join(side_by_side)}: where one passes requests to another, tell them apart by llm"
    return kept, [several] if side_by_side else []


def _own_step(t: FloatArray) -> float:
    """A series sampled more rarely than the others has no gap at each of its samples; 0 where few tell its step."""
    return float(np.median(np.diff(t))) if len(t) >= LEAST_FOR_A_STEP else 0.0


def _arrivals_note(metrics: set[str]) -> list[str]:
    """What stands for arrivals where no counter of requests was exported."""
    if metrics & set(ARRIVAL_METRICS):
        return []
    for name, words in STANDING_IN.items():
        if name in metrics:
            return [f"no counter of requests: arrivals are the counts of {words}"]
    return ["no counter of requests, and no histogram that counts them: arrivals are unknown"]


def read_prometheus(staged: Staged, mapping: LogMapping | None, scratch: Path) -> Outcome:
    """One export into counts by interval. A row, for the books, is a sample.

    Histogram buckets stay cumulative in `le`. Raises InputError where the file is no JSON, or no series in it is
    understood.
    """
    stem = scratch / staged.sha256
    rejects_path, table = stem.with_suffix(".rejects"), stem.with_suffix(".table.parquet")
    rejects = _Rejects(rejects_path)
    try:
        series, samples, disorder, unused = _read(staged, mapping or LogMapping(), rejects)
        series, notes = _without_steps(_current_names(series, rejects), rejects)
    finally:
        rejects.close()
    usable = [one for one in series if len(one.t)]
    if not usable:
        reasons = "; ".join(f"{count} samples: {reason}" for reason, count in rejects.reasons.most_common(3))
        raise InputError(
            str(staged.source), "range queries of engine metrics (see docs/ingest.md)", reasons or "none",
            "Export the metrics by name, e.g. vllm:prompt_tokens_total.",
        )  # fmt: skip
    steps = [float(np.median(np.diff(one.t))) for one in usable if len(one.t) > 1]
    step = float(np.median(steps)) if steps else 60.0
    width = grid_width(steps)
    repairs: Counter[str] = Counter()
    repaired = 0
    made: set[str] = set()
    unplaced: Counter[str] = Counter()

    def rows() -> Iterator[MetricRow]:
        nonlocal repaired
        for one in usable:
            binned: Binned
            if one.meaning.shape == "gauge":
                binned = binned_gauge(one.t, one.v, width)
            else:
                binned = binned_counter(one.t, one.v, max(step, _own_step(one.t)), width)
            repairs.update(binned.repairs)
            repaired += binned.repaired
            name = one.meaning.metric + (f"_{one.part}" if one.part in ("sum", "count") else "")
            unplaced[name] += round(binned.unplaced)
            made.add(name)
            yield from (
                MetricRow(round(start * 1e6), width, one.labels, name, one.le, float(value))
                for start, value in zip(binned.start_s, binned.value, strict=True)
            )
            if name in (*ARRIVAL_METRICS, *STANDING_IN):
                yield from (
                    MetricRow(round(begin * 1e6), end - begin, one.labels, name + UNSEEN, one.le, lost)
                    for begin, end, lost in binned.unseen
                )

    write_metrics(rows(), table)
    rejected = sum(rejects.reasons.values())
    engines = sorted({one.meaning.engine for one in usable})
    said = f"metrics of {', '.join(engines)}: {len(usable)} series, a sample every {step:g} s"
    notes = [*staged.notes, said, *notes, *_arrivals_note(made)]
    if width > SECONDS_PER_HOUR:
        notes.append(
            f"counts of {width / SECONDS_PER_HOUR:g} h are spread evenly over their hours: how the day goes within "
            "them is lost; export a step of an hour or less to see it"
        )
    if unused:
        more = f" and {len(unused) - MOST_NAMED} more" if len(unused) > MOST_NAMED else ""
        notes.append(f"not used: {', '.join(sorted(unused)[:MOST_NAMED])}{more}")
    if disorder["late"]:
        notes.append(f"{disorder['late']} samples were not in order of time and are sorted")
    notes.extend(
        f"{unplaced[name]} {name} fell into gaps or cut-off ends and are in no interval"
        for name in ("requests", "succeeded")
        if unplaced[name]
    )
    if repairs[counters.AFTER_GAP]:
        notes.append("gaps are left unobserved, not counted as zero")
    return Outcome(
        "prometheus", "metrics", table, rejects_path, samples, samples - rejected - repaired, repaired, rejected,
        dict(sorted(rejects.reasons.items())), dict(sorted(repairs.items())), tuple(notes),
    )  # fmt: skip
