"""Fleet problems of stated sizes, from the price catalog and the goodput kernels: only demand is made up.

Demand is synthetic and seeded: every class has its own mean, growth and daily shape by origin; scenarios multiply it by
a common and an own lognormal factor that widen with the month, and come in order of load as the product makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from configs.evaluation import EvaluationPolicy
from configs.planning import Market, Region
from configs.traffic import LogNormalLengths
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.lengths import lognormal
from data.plan_records import FleetProblem
from data.prices import load_prices, offers
from data.records import Block, Capacity, Configuration, Demand, Offer, SeriesKey, SloTarget

HOURS = 730.0
LLMS = ("Llama-3.1-8B", "Qwen3-32B", "Llama-3.1-70B")
GPUS = ("L4", "L40S", "A100-80GB-SXM", "H100-SXM", "H200-SXM", "B200-SXM")
CHAT = LogNormalLengths(
    input_p50_tokens=1020,
    input_p99_tokens=4142,
    output_p50_tokens=129,
    output_p99_tokens=601,
    source="Azure 2023, conv",
)
CODE = LogNormalLengths(
    input_p50_tokens=1469, input_p99_tokens=7436, output_p50_tokens=13, output_p99_tokens=251, source="Azure 2023, code"
)
SLOS = {"chat": SloTarget(2.0, 0.06, 95.0), "code": SloTarget(3.0, 0.08, 95.0)}
REGIONS = {
    "us-east": Region(
        markets=(Market(provider="aws", region="us-east-1"),),
        gpu_quota={"A100-80GB-SXM": 400, "H100-SXM": 320, "H200-SXM": 160, "B200-SXM": 16, "L40S": 200, "L4": 200},
    ),
    "us-central": Region(
        markets=(Market(provider="nebius", region="us-central1"), Market(provider="gcp", region="us-low")),
        gpu_quota={"H100-SXM": 256, "H200-SXM": 160, "B200-SXM": 8, "L4": 200},
    ),
    "eu-north": Region(
        markets=(Market(provider="nebius", region="eu-north1"), Market(provider="aws", region="eu-north-1")),
        gpu_quota={"H100-SXM": 256, "H200-SXM": 160, "L40S": 200},
    ),
}
MAY_SERVE = {
    "us-east": ("us-east", "us-central"),
    "us-central": ("us-central", "us-east"),
    "eu-north": ("eu-north",),
}
BLOCKS = (
    Block("peak", 0.01 * HOURS),
    Block("busy", 0.14 * HOURS),
    Block("day", 0.45 * HOURS),
    Block("night", 0.4 * HOURS),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large an instance is; classes come in pairs (chat, code), one pair an LLM."""

    months: int
    scenarios: int
    configurations: int = 24
    classes: int = 6


SIZES = {"S": Size(1, 1), "M": Size(12, 5), "L": Size(12, 20), "XL": Size(24, 30)}


@cache
def table() -> tuple[Capacity, ...]:
    """Feasible estimates of every configuration for both classes of every LLM."""
    from models.evaluate import evaluate

    policy = EvaluationPolicy(llms=LLMS, gpus=GPUS)
    samples = {"chat": lognormal(CHAT, 0.0, 1), "code": lognormal(CODE, 0.0, 1)}
    lengths = {(llm, name): sample for llm in LLMS for name, sample in samples.items()}
    found = evaluate(
        [find_llm(n) for n in LLMS], [find_gpu(n) for n in GPUS], find_engine("vllm"), load_coefficients(), policy,
        lengths, SLOS,
    )  # fmt: skip
    return found.feasible()


@cache
def buyable() -> tuple[Offer, ...]:
    """Every offer of the three regions."""
    return offers(REGIONS, GPUS, ("on_demand", "reserved_1y", "reserved_3y"), load_prices())


def _chosen(rows: tuple[Capacity, ...], llm: str, count: int) -> list[Configuration]:
    """The cheapest configurations a request on every GPU first, then the next on each: as varied as there are."""
    price: dict[str, float] = {}
    for offer in buyable():
        price[offer.gpu] = min(offer.usd_per_gpu_h, price.get(offer.gpu, np.inf))
    by: dict[Configuration, list[Capacity]] = {}
    for row in rows:
        if row.configuration.llm == llm and row.configuration.gpu in price:
            by.setdefault(row.configuration, []).append(row)
    both = {one: found for one, found in by.items() if len(found) == len(SLOS)}

    def usd(one: Configuration) -> float:
        return price[one.gpu] * one.gpus / min(row.operating_rps for row in both[one])

    ranked = sorted(both, key=lambda one: (usd(one), one))
    rank = {one: sum(other.gpu == one.gpu for other in ranked[:i]) for i, one in enumerate(ranked)}
    return sorted(ranked, key=lambda one: (rank[one], usd(one), one))[:count]


def instance(size: Size, seed: int = 0, mip_gap: float = 0.01, time_limit_s: float = 60.0) -> FleetProblem:
    """A problem of a size: `classes` / 2 LLMs, their classes from three origins, N+1 pools, 1- and 3-year terms."""
    rng = np.random.default_rng(seed)
    llms = LLMS[: max(1, size.classes // 2)]
    rows = table()
    chosen = {one for llm in llms for one in _chosen(rows, llm, size.configurations // len(llms))}
    keys = [SeriesKey(llm, name, region) for llm in llms for name in SLOS for region in REGIONS]
    shape = np.array([1.25, 0.85, 0.5, 0.2])
    sigma = 0.08 + 0.02 * np.arange(size.months)
    common = rng.standard_normal((size.scenarios, 1))
    rps = np.zeros((len(keys), size.months, len(BLOCKS), size.scenarios))
    for i, key in enumerate(keys):
        mean = rng.uniform(4.0, 30.0) * {"Llama-3.1-8B": 2.0, "Qwen3-32B": 1.0}.get(key.llm, 0.7)
        growth = 1.0 + rng.uniform(0.0, 0.05)
        own = rng.standard_normal((size.scenarios, 1))
        factor = np.sort(np.exp((0.8 * common + 0.6 * own) * sigma), axis=0)
        level = mean * growth ** np.arange(size.months) * factor
        rps[i] = (level[:, :, None] * shape * rng.uniform(0.9, 1.1, len(BLOCKS))).transpose(1, 2, 0)
    rps = np.minimum.accumulate(rps, axis=2)
    weight = 0.85 ** np.arange(size.scenarios)
    months = tuple(f"{2027 + m // 12}-{m % 12 + 1:02d}" for m in range(size.months))
    return FleetProblem(
        demand=Demand(tuple(keys), months, BLOCKS, weight / weight.sum(), rps),
        capacities=tuple(row for row in rows if row.configuration in chosen),
        offers=buyable(),
        regions=tuple(REGIONS),
        quotas={(name, gpu): limit for name, region in REGIONS.items() for gpu, limit in region.gpu_quota.items()},
        may_serve=MAY_SERVE,
        shed_usd_per_request={"chat": 0.5, "code": 0.05},
        protected={"chat": True, "code": False},
        failures_per_pool=1,
        pool_start_usd=1000.0,
        mip_gap=mip_gap,
        time_limit_s=time_limit_s,
        seed=seed,
    )
