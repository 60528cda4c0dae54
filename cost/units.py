"""Unit economics: what a request, a million tokens and a successful task cost, each with what makes it comparable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from configs.costs import CostPolicy
from configs.slo import SuccessCriterion
from data.cost_records import AttributedCost, CostLine, ResourceUse, UnitCost, Work
from data.plan_records import Pool
from data.records import SloTarget


@dataclass(frozen=True, slots=True)
class Criterion:
    """When a task of a class is done, in words, and the share of requests that are."""

    text: str
    rate: float


def criteria(
    policy: CostPolicy, slos: Mapping[str, SloTarget], success: Mapping[str, SuccessCriterion], failed_share: float
) -> dict[str, Criterion]:
    """By class: the policy's own, else the class's: that the request does not fail; or that it does not fail and keeps
    its SLO, which as many requests do as the loosest of its percentiles says."""
    found = {}
    for name, slo in slos.items():
        if name in policy.success:
            found[name] = Criterion(policy.success[name].criterion, policy.success[name].rate)
            continue
        if success[name] != "within_slo":
            done = "answered" if success[name] == "answered" else "a first token"
            found[name] = Criterion(f"{done}, however late; all but failures", 1.0 - failed_share)
            continue
        limits = f"TTFT {slo.ttft_s:g} s, TPOT {slo.tpot_s * 1e3:g} ms" + (
            f", {slo.e2e_s:g} s in all" if slo.e2e_s else ""
        )
        loosest = min(slo.percentiles)
        rate = loosest / 100.0 * (1.0 - failed_share)
        found[name] = Criterion(f"answered within {limits}; counted at p{loosest:g} less failures", rate)
    return found


def unit_costs(
    lines: Sequence[CostLine],
    attribution: Sequence[AttributedCost],
    work: Sequence[Work],
    pools: Sequence[Pool],
    uses: Sequence[ResourceUse],
    success: Mapping[str, Criterion],
) -> tuple[UnitCost, ...]:
    """Per request, per million input and output tokens and per successful task, for every LLM and class, over the
    horizon and all it is charged with. Tokens share the cost as prefill and decode share the compute."""
    months = sorted({line.month for line in lines})
    if not months:
        return ()
    period = months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"
    dates = sorted({line.source.as_of for line in lines if line.item == "compute" and line.source.as_of[:1].isdigit()})
    # Prices that the user declares are those of the plan's own time.
    as_of = f"{months[0]} (declared)" if not dates else dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    found = []
    for llm, name in sorted({(one.series.llm, one.series.request_class) for one in work}):
        mine = [one for one in work if (one.series.llm, one.series.request_class) == (llm, name)]
        requests = math.fsum(one.requests for one in mine)
        usd = math.fsum(one.usd for one in attribution if (one.llm, one.request_class) == (llm, name))
        regions = " + ".join(sorted({p.region for p in pools if p.configuration.llm == llm})) or "nowhere"
        if requests <= 0.0 or name not in success:
            continue
        inputs = math.fsum(one.requests * one.input_tokens for one in mine)
        outputs = math.fsum(one.requests * one.output_tokens for one in mine)
        split = prefill_share(llm, name, pools, uses)
        figures = [("a request", usd, requests), ("a successful task", usd, requests * success[name].rate)]
        if split is not None:
            figures += [
                ("a million input tokens", usd * split, inputs / 1e6),
                ("a million output tokens", usd * (1.0 - split), outputs / 1e6),
            ]
        found += [
            UnitCost(unit, amount / count, as_of, regions, llm, success[name].text, name, period, count)
            for unit, amount, count in figures
            if count > 0.0
        ]
    return tuple(found)


def prefill_share(llm: str, name: str, pools: Sequence[Pool], uses: Sequence[ResourceUse]) -> float | None:
    """Share of a class's compute-seconds that is prefill, over the pools that run; None where none is known."""
    gpus: dict[object, int] = {}
    for pool in pools:
        gpus[pool.configuration] = gpus.get(pool.configuration, 0) + pool.gpus
    mine = [(gpus[use.configuration], use) for use in uses if use.configuration in gpus]
    mine = [(n, use) for n, use in mine if (use.configuration.llm, use.request_class) == (llm, name)]
    total = math.fsum(n * use.compute_s for n, use in mine)
    return math.fsum(n * use.prefill_s for n, use in mine) / total if total > 0.0 else None
