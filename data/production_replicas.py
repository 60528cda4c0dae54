"""The series of an engine's export by replica, with what calibration needs of each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from configs.errors import InputError
from data.readers.prometheus import Series
from data.records import FloatArray

USED = frozenset(
    {
        "tpot_s", "ttft_s", "queue_s", "e2e_s", "input_tokens", "output_tokens", "input_length", "output_length",
        "cache_hit_tokens", "preemptions", "requests", "running", "kv_usage",
    }
)  # fmt: skip
PER_REQUEST = frozenset({"tgi", "trtllm"})
"""Engines whose time per token is one mean for each finished request, not one value for each gap."""


@dataclass(frozen=True, slots=True)
class Replica:
    """Series of one replica by (metric, part)."""

    name: str
    engine: str
    series: Mapping[tuple[str, str], Series]

    def has(self, metric: str, part: str = "") -> bool:
        """Whether it exports this part of a metric."""
        return (metric, part) in self.series

    def at(self, metric: str, part: str, edges: FloatArray) -> FloatArray:
        """A counter's rise up to each of `edges`; NaN outside its samples."""
        one = self.series[metric, part]
        rise = np.diff(one.v)
        total = np.concatenate([[0.0], np.cumsum(np.where(rise < 0, one.v[1:], rise))])
        return np.asarray(np.interp(edges, one.t, total, left=np.nan, right=np.nan))


def of_one_llm(series: Sequence[Series], served: str | None, where: str) -> list[Series]:
    """The series of the LLM that is served as `served`, or of the only one. Raises InputError where there are several
    and none is named, or none of that name."""
    names = sorted({one.labels["llm"] for one in series if one.labels.get("llm")})
    if served is not None:
        series = [one for one in series if one.labels.get("llm") == served]
        if not series:
            raise InputError("--served", f"one of {', '.join(names) or 'the served models'}", served, "Name it so.")
    elif len(names) > 1:
        raise InputError(where, "the metrics of one LLM", ", ".join(names), "Name one with --served.")
    return list(series)


def replicas_of(series: Iterable[Series], where: str) -> list[Replica]:
    """Series by replica: told apart by the labels that every metric of the export carries."""
    usable = [one for one in series if one.meaning.metric in USED and one.part != "bucket" and len(one.t) > 1]
    engines = sorted({one.meaning.engine for one in usable})
    if len(engines) != 1:
        raise InputError(where, "the metrics of one engine", ", ".join(engines) or "none", "Export them apart.")
    labels = [json.loads(one.labels["instance"]) for one in usable]
    common = set.intersection(*(set(one) for one in labels))
    found: dict[str, dict[tuple[str, str], Series]] = {}
    for one, named in zip(usable, labels, strict=True):
        name = json.dumps({key: named[key] for key in sorted(common)}, sort_keys=True)
        mine = found.setdefault(name, {})
        key = (one.meaning.metric, one.part)
        # What repeats is the same series in two exports.
        mine[key] = _joined(mine[key], one) if key in mine else one
    return [Replica(name, engines[0], mine) for name, mine in sorted(found.items())]


def _joined(a: Series, b: Series) -> Series:
    """The samples of two exports of one series; the first counts where both have a time."""
    t = np.concatenate([a.t, b.t])
    v = np.concatenate([a.v, b.v])
    _, first = np.unique(t, return_index=True)
    return Series(a.meaning, a.part, a.labels, a.le, t[first], v[first])


def complete(replicas: Sequence[Replica], input_tokens: float, where: str) -> None:
    """Raises InputError naming the first thing that no replica can be calibrated without."""
    one = replicas[0]
    wanted = {
        "time between tokens (e.g. vllm:inter_token_latency_seconds _sum and _count)": one.has("tpot_s", "sum")
        and one.has("tpot_s", "count"),
        "prompt lengths (e.g. vllm:prompt_tokens_total), or --input": prompt_source(one) is not None
        or (requests_of(one) is not None and math.isfinite(input_tokens)),
        "number of prompts (e.g. vllm:time_to_first_token_seconds_count)": requests_of(one) is not None,
    }
    if one.engine in PER_REQUEST:
        wanted["running requests (a gauge)"] = one.has("running")
    missing = [name for name, there in wanted.items() if not there]
    if missing:
        raise InputError(where, missing[0], f"none among the metrics of {one.engine}", "Export that metric as well.")


def prompt_source(one: Replica) -> tuple[str, str] | None:
    """The counter of prompt tokens; None where the engine exports none."""
    return next((key for key in (("input_tokens", ""), ("input_length", "sum")) if one.has(*key)), None)


def requests_of(one: Replica) -> tuple[str, str] | None:
    """The counter of prompts; None where the engine exports none."""
    keys = (("ttft_s", "count"), ("input_length", "count"), ("requests", ""), ("e2e_s", "count"))
    return next((key for key in keys if one.has(*key)), None)
