"""What production says: traffic, bills and goodputs, read and set against what the plan assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import InputError
from configs.schema import Scenario
from configs.traffic import HourlyCounts
from data.actuals import ActualTraffic, MeasuredMix, header, read_actuals
from data.actuals_billing import Billed, read_billing
from data.actuals_goodput import MeasuredGoodput, read_goodput
from data.hourly import read_hourly_counts
from data.ledger.records import Actual
from data.plain import configuration_of
from data.records import SeriesKey
from flows.misses import Part, Work
from flows.recorded import RecordedPlan, plan_pools
from reconcile.corrections import Measured


@dataclass(frozen=True, slots=True)
class Evidence:
    """What production says: traffic, bills and goodputs, each with the files' hashes."""

    traffic: ActualTraffic
    billed: Billed | None
    goodput: tuple[MeasuredGoodput, ...]
    inputs: Mapping[str, str]


def read_traffic(path: Path, scenario: Scenario) -> ActualTraffic:
    """Actual traffic from a long CSV, or from `day,hour,<column>` counts, which are placed, scaled and split as the
    scenario's own histories of that layout are."""
    if not {"day", "hour"} <= set(header(path)):
        return read_actuals(path)
    series, digest = [], ""
    for one in scenario.traffic.series:
        if not isinstance(one.source, HourlyCounts):
            continue
        counts = read_hourly_counts(path, one.source.column, one.source.first_day)
        digest = counts.sha256
        first = np.datetime64(counts.requests.index[0].tz_convert(None).to_pydatetime(), "h")
        scaled = counts.requests.to_numpy() * one.volume_multiplier / (1.0 - one.failed_share)
        series += [
            Actual(SeriesKey(one.llm, one.request_class, region), first, scaled * share)
            for region, share in one.regions.items()
            if share > 0.0
        ]
    if not series:
        raise InputError(
            str(path), "columns ts, llm, request_class, region, requests",
            f"columns {', '.join(header(path))}, and no history of the scenario has that layout", "Export a long CSV.",
        )  # fmt: skip
    return ActualTraffic(tuple(series), {}, digest)


def gather(scenario: Scenario, actuals: Path, billing: Path | None, goodput: Path | None) -> Evidence:
    """Reads all evidence. Raises InputError naming file, line and column."""
    traffic = read_traffic(actuals, scenario)
    billed = None if billing is None else read_billing(billing)
    measured, goodput_hash = ((), "") if goodput is None else read_goodput(goodput)
    inputs = {actuals.name: traffic.sha256}
    if billing is not None and billed is not None:
        inputs[billing.name] = billed.sha256
    if goodput is not None:
        inputs[goodput.name] = goodput_hash
    return Evidence(traffic, billed, measured, inputs)


def _assumed(plan: RecordedPlan, llm: str, request_class: str) -> dict[str, float]:
    names = {"input tokens": "input_tokens", "output tokens": "output_tokens", "cache hit": "cache_hit"}
    start = f"{llm}/{request_class}/"
    return {
        names[one["name"].removeprefix(start)]: float(one["value"])
        for one in plan.assumptions
        if one["kind"] == "mix" and one["name"].startswith(start) and one["name"].removeprefix(start) in names
    }


def _output_work(plan: RecordedPlan, llm: str, request_class: str, computed: float, made: float) -> float:
    """Compute of an output token over that of a prompt token that the cache does not hold, as the kernels of the plan
    divided a request's compute-seconds; half and half where no pool ran it, as in the plan's own costs."""
    for mix in plan.document.get("full_cost", {}).get("mixes", ()):
        if (mix["llm"], mix["request_class"]) == (llm, request_class):
            prefill = min(max(float(mix["prefill_share"]), 0.01), 0.99)
            return (1.0 - prefill) / prefill * computed / made
    return computed / made


def _totals(mix: MeasuredMix) -> dict[str, float | None]:
    return {"input_tokens": mix.input_tokens, "output_tokens": mix.output_tokens}


def uncounted(plan: RecordedPlan, traffic: ActualTraffic) -> list[str]:
    """Token totals of 0 where the plan assumed some, in words: they are taken as not given."""
    return [
        f"{llm}/{name}: {key.replace('_', ' ')} of {mix.requests:,.0f} requests add up to 0 in the actuals, assumed "
        f"{_assumed(plan, llm, name)[key]:,.4g} a request: taken as not given. Leave the column out or count them."
        for (llm, name), mix in traffic.mix.items()
        for key, value in _totals(mix).items()
        if value == 0 and _assumed(plan, llm, name).get(key)
    ]


def measured_mix(plan: RecordedPlan, traffic: ActualTraffic) -> tuple[list[Measured], dict[Part, Work]]:
    """Lengths and cache hits against what was assumed, and the work that they make by LLM and class."""
    told: list[Measured] = []
    works: dict[Part, Work] = {}
    for (llm, name), mix in traffic.mix.items():
        assumed = _assumed(plan, llm, name)
        if not assumed:
            continue
        # No request has no tokens where some were assumed: a total of 0 is a count that nobody kept.
        lengths = {key: value for key, value in _totals(mix).items() if value or (value == 0 and not assumed.get(key))}
        target = {"llm": llm, "request_class": name}
        told.append(
            Measured("lengths", target, {k: assumed[k] for k in lengths if k in assumed}, lengths, int(mix.requests))
        )
        if mix.cache_hit is not None:
            hit = {"cache_hit": assumed.get("cache_hit", 0.0)}
            told.append(Measured("cache", target, hit, {"cache_hit": mix.cache_hit}, int(mix.requests)))
        given, made = assumed["input_tokens"], assumed["output_tokens"]
        was, now = assumed.get("cache_hit", 0.0), mix.cache_hit
        new_given, new_made = lengths.get("input_tokens", given), lengths.get("output_tokens", made)
        work = _output_work(plan, llm, name, max(given * (1 - was), 1.0), max(made, 1.0))
        works[llm, name] = Work(
            mix.requests * (given * (1 - was) + work * made),
            mix.requests * (new_given * (1 - was) + work * new_made),
            mix.requests * (new_given * (1 - (was if now is None else now)) + work * new_made),
            now is not None,
        )
    return told, works


def measured_goodput(
    plan: RecordedPlan, rows: Sequence[MeasuredGoodput]
) -> tuple[list[Measured], list[tuple[MeasuredGoodput, float]], dict[Part, float], dict[Part, float]]:
    """Goodputs against the plan's knees: what may be corrected, (measured, predicted) pairs, and by LLM and class the
    mean ratios of goodput and availability. InputError for a configuration that the plan did not evaluate."""
    runs = {pool.configuration for pool in plan_pools(plan.document)}
    told, pairs = [], []
    ratios: dict[Part, list[float]] = {}
    shares: dict[Part, list[float]] = {}
    for one in rows:
        labels = {
            "llm": one.llm,
            "gpu": one.gpu,
            "precision": one.precision,
            "tensor_parallel": one.tensor_parallel,
        }
        found = [
            row
            for row in plan.capacities
            if row["request_class"] == one.request_class
            and all(row["configuration"][name] == value for name, value in labels.items())
        ]
        # Of several layouts the one that the plan runs is what was measured; else one that serves.
        found.sort(key=lambda row: (configuration_of(row["configuration"]) not in runs, not row["knee_rps"]))
        if not found or not found[0]["knee_rps"]:
            raise InputError(
                "measured goodput", "configurations that the plan evaluated and found to serve",
                f"{' '.join(map(str, labels.values()))} for {one.request_class}", "Correct the row or drop it.",
            )  # fmt: skip
        predicted = float(found[0]["knee_rps"])
        target = {name: str(value) for name, value in labels.items()} | {"request_class": one.request_class}
        told.append(Measured("goodput", target, {"goodput": predicted}, {"goodput": one.rps}, 1))
        pairs.append((one, predicted))
        part = one.llm, one.request_class
        ratios.setdefault(part, []).append(one.rps / predicted)
        if one.available is not None:
            shares.setdefault(part, []).append(one.available)
    goodput = {part: math.exp(sum(map(math.log, found)) / len(found)) for part, found in ratios.items()}
    return told, pairs, goodput, {part: sum(found) / len(found) for part, found in shares.items()}
