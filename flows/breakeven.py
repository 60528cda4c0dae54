"""Self-host or API for one LLM: the kernels' goodput, dated prices and the full cost of running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.costs import CostPolicy
from configs.errors import InputError
from cost.breakeven import BreakEven, SelfHost, Split, break_even, hybrid
from data.api_prices import ApiPrice
from data.catalog import find_gpu
from data.costs import Assumed, assumed
from data.prices import load_prices
from data.records import Source
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from flows.size import Answer, Question, examine


@dataclass(frozen=True, slots=True)
class GpuPrice:
    """US dollars a GPU-hour, and where they come from."""

    usd_per_gpu_h: float
    region: str
    option: str
    source: Source


@dataclass(frozen=True, slots=True)
class Compared:
    """One API beside self-hosting; daily_tokens: the first break-even in tokens a day; split: None without a volume."""

    api: ApiPrice
    usd_per_request: float
    usd_per_mtok: float
    """Of the request's own mix of input and output."""
    crossing: BreakEven
    daily_tokens: float | None
    split: Split | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Self-hosting one LLM on one configuration against every API asked for, cheapest first.

    own_usd_per_mtok: USD a million tokens of the request's mix, by utilisation of the replicas, everything included.
    """

    llm: str
    configuration: str
    price: GpuPrice
    success_criterion: str
    input_tokens: int
    output_tokens: int
    cached_tokens: float
    own: SelfHost
    own_usd_per_mtok: dict[float, float]
    monthly: dict[str, float]
    daily: float | None
    rows: tuple[Compared, ...]
    assumed_as_of: tuple[str, ...] = ()
    """The days that the assumptions of the running costs are of; none where GPUs are alone."""
    gpu_as_of: str = ""


RUNNING = (
    "engineering_fte", "engineering_fte_per_100_gpus", "engineering_usd_per_fte_month", "evaluation_usd_per_llm_month",
    "observability_usd_per_gpu_month",
)  # fmt: skip
"""Assumptions that the running costs are made of."""
UTILISATIONS = (1.0, 0.7, 0.5, 0.3, 0.1)


def find_price(gpu: str, market: str | None, option: str, usd_per_gpu_h: float | None) -> GpuPrice:
    """The price of a GPU: the user's own, else the catalog's cheapest of the option, in a market (provider/region)
    where one is named. InputError where nobody sells it so."""
    name = find_gpu(gpu).name
    if usd_per_gpu_h is not None:
        return GpuPrice(usd_per_gpu_h, market or "unstated", option, Source("command line", "declared"))
    catalog = load_prices()
    rows = [row for row in catalog.rows if row.gpu == name and row.option == option]
    rows = [row for row in rows if market is None or f"{row.provider}/{row.region}" == market]
    if not rows:
        offers = sorted({f"{row.provider}/{row.region} {row.option}" for row in catalog.rows if row.gpu == name})
        raise InputError(
            "--market" if market else "--option",
            f"a market that sells {name}",
            f"{market or 'any market'} {option}",
            f"The catalog has {', '.join(offers) or 'none'}; or state --usd-per-gpu-h.",
        )
    best = min(rows, key=lambda row: row.usd_per_gpu_h)
    source = catalog.sources[best.source]
    return GpuPrice(best.usd_per_gpu_h, f"{best.provider}/{best.region}", option, Source(source.citation, source.as_of))


def running_costs(figures: Assumed, gpus: int) -> dict[str, float]:
    """What self-hosting adds to the GPUs a month and an API does not: people, evaluation, agents. Traffic and traces
    cost the same either way and are left out."""
    people = figures["engineering_fte"][0] + figures["engineering_fte_per_100_gpus"][0] * gpus / 100
    return {
        "engineering": people * figures["engineering_usd_per_fte_month"][0],
        "evaluation": figures["evaluation_usd_per_llm_month"][0],
        "observability": figures["observability_usd_per_gpu_month"][0] * gpus,
    }


def compare(
    question: Question,
    price: GpuPrice,
    apis: Sequence[ApiPrice],
    daily: float | None = None,
    peak_to_mean: float = 2.0,
    spares: int = 1,
    policy: CostPolicy | None = None,
    bare: bool = False,
    answer: Answer | None = None,
) -> Comparison:
    """Break-even against every API, and the best split at a daily volume.

    bare: GPUs alone, without people and the rest. answer: of `examine`, where it is known already. Raises InputError
    where the configuration serves nothing or no API is given.
    """
    if not apis:
        fix = "Name one with --api, or read LiteLLM's file with --litellm."
        raise InputError("--api", f"an API price of {question.llm}", "none", fix)
    answer = answer or examine(question)
    row = answer.capacity
    if row.excuse is not None:
        raise InputError(row.configuration.label, "a configuration that serves at the SLO", "none", str(row.excuse))
    one = row.configuration
    replica_usd = one.gpus * price.usd_per_gpu_h * HOURS_PER_MONTH
    figures = assumed(policy or CostPolicy())
    costs = {} if bare else running_costs(figures, one.gpus * (1 + spares))
    own = SelfHost(row.operating_rps, replica_usd, spares, sum(costs.values()), 0.0, peak_to_mean)
    tokens = question.input_tokens + question.output_tokens
    cached = question.prefix_share * question.input_tokens
    rows = [_against(api, own, question, cached, daily) for api in apis]
    per_hour = row.operating_rps * SECONDS_PER_HOUR * tokens / 1e6
    slo = question.slo
    return Comparison(
        llm=one.llm,
        configuration=one.label,
        price=price,
        success_criterion=f"TTFT {slo.ttft_s:g} s and TPOT {slo.tpot_s * 1e3:g} ms at {slo.at}",
        input_tokens=question.input_tokens,
        output_tokens=question.output_tokens,
        cached_tokens=cached,
        own=own,
        own_usd_per_mtok={u: one.gpus * price.usd_per_gpu_h / (per_hour * u) for u in UTILISATIONS},
        monthly={"one replica": replica_usd, "spares": spares * replica_usd} | costs,
        daily=daily,
        rows=tuple(sorted(rows, key=lambda found: found.usd_per_request)),
        assumed_as_of=() if bare else tuple(figures[name][2].as_of for name in RUNNING),
        gpu_as_of=find_gpu(one.gpu).source.as_of,
    )


def _against(api: ApiPrice, own: SelfHost, question: Question, cached: float, daily: float | None) -> Compared:
    each = api.usd_per_request(question.input_tokens, question.output_tokens, cached)
    tokens = question.input_tokens + question.output_tokens
    crossing = break_even(own, each)
    first = None if crossing.first_daily is None else crossing.first_daily * tokens
    split = None if daily is None else hybrid(own, each, daily)
    return Compared(api, each, each / tokens * 1e6, crossing, first, split)


def choose(prices: Sequence[ApiPrice], llm: str, wanted: Sequence[str]) -> tuple[ApiPrice, ...]:
    """The APIs named by key, or all of an LLM's. InputError with near names for one that is not there."""
    if not wanted:
        return tuple(one for one in prices if one.llm == llm)
    found = []
    for key in wanted:
        mine = [one for one in prices if one.key == key]
        if not mine:
            near = [one.key for one in prices if key.lower() in one.key.lower()][:8]
            fix = f"Near names: {', '.join(near)}." if near else "`--litellm FILE` reads more."
            raise InputError("--api", "a key of the price catalog", repr(key), fix)
        found.append(mine[0])
    return tuple(found)
