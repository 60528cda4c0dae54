"""Traffic histories from a configuration: read, scaled as declared, split by region, checked, explained."""

from __future__ import annotations

import zlib
from pathlib import Path

import pandas as pd

from configs.classes import ClassRules
from configs.errors import InputError
from configs.traffic import (
    HourlyCounts,
    Ingested,
    IngestedLengths,
    LengthFile,
    RequestLog,
    Synthetic,
    Traffic,
    TrafficSeries,
)
from data.frames import checked_history
from data.history import DataNote, TenantDays, TrafficHistory
from data.hourly import complete_hours, read_hourly_counts
from data.ingested import ingested_hours, ingested_lengths, unplanned
from data.lengths import lognormal, stratified
from data.public_traces import find_trace
from data.records import LengthSample
from data.requests import RequestTable, hourly, read_requests
from data.statistics.quality import forecastable
from data.synthetic import hourly_requests, parameters_sha256
from data.tenants import tenant_days

WEEKS_FOR_A_WEEKLY_SEASON = 3


def series_seed(seed: int, *names: str) -> int:
    """A seed of its own for every series, the same on every machine and in any order."""
    return seed ^ zlib.crc32("/".join(names).encode())


def _locate(path: str | None, public_name: str | None, base: Path, data_folder: Path | None) -> Path:
    if path is not None:
        return base / path
    if public_name is None:
        raise InputError("traffic source", "a path or a public name", "neither", "Give one.")
    return find_trace(public_name, data_folder)


def _lengths(
    one: TrafficSeries, base: Path, data_folder: Path | None, seed: int, rules: ClassRules | None
) -> tuple[LengthSample, list[DataNote], dict[str, str]]:
    """The token lengths of a series, notes, and input hashes."""
    own = series_seed(seed, one.llm, one.request_class, "lengths")
    spec = one.lengths
    if isinstance(spec, IngestedLengths):
        return ingested_lengths(spec, base, rules, one.request_class, one.prefix_cache_hit, own)
    if not isinstance(spec, LengthFile):
        sample = lognormal(spec, one.prefix_cache_hit, own)
        return sample, [DataNote("assumption", str(one.request_class), f"token lengths: {sample.source}")], {}
    path = _locate(spec.path, spec.public_name, base, data_folder)
    table = read_requests(path, spec.timestamp, spec.input_tokens, spec.output_tokens, "UTC")
    source = spec.public_name or path.name
    frame = table.frame
    sample = stratified(
        frame["input_tokens"].to_numpy(), frame["output_tokens"].to_numpy(), one.prefix_cache_hit, own, source
    )
    return sample, list(table.notes), {path.name: table.sha256}


def _load(
    one: TrafficSeries, base: Path, data_folder: Path | None, seed: int, rules: ClassRules | None
) -> tuple[pd.Series, list[DataNote], dict[str, str]]:
    """Requests by hour before scaling, notes, and input hashes."""
    source = one.source
    if isinstance(source, Synthetic):
        own = series_seed(seed, one.llm, one.request_class, "arrivals")
        counts = hourly_requests(source, own)
        text = (
            f"synthetic arrivals (data/synthetic.py), mean {source.mean_requests_per_hour:,.0f} requests/h, seed {own}"
        )
        name = f"synthetic/{one.llm}/{one.request_class}"
        return counts, [DataNote("assumption", name, text)], {name: parameters_sha256(source, own)}
    if isinstance(source, Ingested):
        return ingested_hours(source, base, rules, one.request_class)
    path = _locate(source.path, source.public_name, base, data_folder)
    if isinstance(source, HourlyCounts):
        read = read_hourly_counts(path, source.column, source.first_day)
        note = DataNote("assumption", path.name, f"day 0 of the trace is placed on {source.first_day} by declaration")
        return read.requests, [note, *read.notes], {path.name: read.sha256}
    table: RequestTable = _read_log(path, source)
    series, said = hourly(table)
    counts, gap_notes = complete_hours(series, str(path))
    notes = [DataNote("warning", str(path), text) for text in said]
    return counts, [*table.notes, *notes, *gap_notes], {path.name: table.sha256}


def _read_log(path: Path, source: RequestLog) -> RequestTable:
    return read_requests(path, source.timestamp, source.input_tokens, source.output_tokens, source.time_zone)


def load_history(traffic: Traffic, base: Path, data_folder: Path | None, seed: int) -> TrafficHistory:
    """The history of every declared series.

    base: the folder relative paths start at. data_folder: where public traces lie, for machines without a network.
    Requests are scaled by the declared volume multiplier and by 1 / (1 - failed_share); notes say both. Raises
    InputError for input that cannot be used; what was repaired or assumed is in `notes`.
    """
    frames: list[pd.DataFrame] = []
    lengths: dict[tuple[str, str], LengthSample] = {}
    notes: list[DataNote] = []
    inputs: dict[str, str] = {}
    tenants: dict[tuple[str, str], TenantDays] = {}
    for one in traffic.series:
        name = f"{one.llm}/{one.request_class}"
        counts, found_notes, hashes = _load(one, base, data_folder, seed, traffic.class_rules)
        sample, length_notes, length_hashes = _lengths(one, base, data_folder, seed, traffic.class_rules)
        lengths[one.llm, one.request_class] = sample
        if isinstance(one.source, Ingested):
            whose = tenant_days(one.source, base, traffic.class_rules, one.request_class)
            if whose is not None:
                tenants[one.llm, one.request_class] = whose
        notes += [*found_notes, *length_notes]
        inputs |= hashes | length_hashes
        if one.volume_multiplier != 1.0:
            text = f"the volume is multiplied by {one.volume_multiplier:,g} by declaration: it is not the trace's own"
            notes.append(DataNote("assumption", name, text))
        if one.failed_share > 0.0:
            text = f"{one.failed_share:.1%} of requests are retried once: offered load is divided by 1 - that"
            notes.append(DataNote("assumption", name, text))
        if not isinstance(one.source, Synthetic):
            doubt = forecastable(counts.to_numpy(dtype="float64"))
            if doubt.verdict != "forecastable":
                text = f"{doubt.verdict}: {doubt.reason}; {doubt.fallback}"
                notes.append(DataNote("warning", name, text))
        elif len(counts) < WEEKS_FOR_A_WEEKLY_SEASON * 168:
            text = f"{len(counts)} hours of history do not show a weekly season: expect wide intervals"
            notes.append(DataNote("warning", name, text))
        scaled = counts * one.volume_multiplier / (1.0 - one.failed_share)
        mean_input = float((sample.weight * sample.input_tokens).sum())
        mean_output = float((sample.weight * sample.output_tokens).sum())
        for region, share in one.regions.items():
            if share == 0.0:
                continue
            requests = scaled * share
            frames.append(
                pd.DataFrame(
                    {
                        "llm": one.llm,
                        "request_class": one.request_class,
                        "region": region,
                        "ts": requests.index,
                        "requests": requests.to_numpy(),
                        "input_tokens": requests.to_numpy() * mean_input,
                        "output_tokens": requests.to_numpy() * mean_output,
                        "observed": requests.notna().to_numpy(),
                    }
                )
            )
    if traffic.class_rules is not None:
        planned = {one.request_class for one in traffic.series}
        used = dict.fromkeys(one.source.dataset for one in traffic.series if isinstance(one.source, Ingested))
        for dataset in used:
            notes += unplanned(base / dataset, traffic.class_rules, planned)
    frame = checked_history(pd.concat(frames, ignore_index=True))
    return TrafficHistory(frame, lengths, tuple(notes), inputs, tenants)
