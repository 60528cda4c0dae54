"""Published break-evens and cost tables, recomputed beside what they say: docs/costs.md.

    python -m flows.cost_page > docs/costs.md

A test runs the same and compares, so the page cannot fall behind the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import median

from configs.costs import CostPolicy
from cost.breakeven import DAYS_PER_MONTH, SelfHost, hybrid
from data.api_prices import ApiPrice, load_api_prices
from data.costs import assumed
from data.records import SloTarget, Source
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from flows.breakeven import Comparison, GpuPrice, compare, running_costs
from flows.size import Answer, Question, examine

INPUT, OUTPUT = 1000, 200
TOKENS = INPUT + OUTPUT
SLO = SloTarget(2.0, 0.06, 95.0)
SONNET = ApiPrice("claude-3-5-sonnet", "anthropic", "", 3.0, 15.0, 3.0, Source("published", "2026-04"))
HEAD = """# Costs, recomputed

Made by `python -m flows.cost_page`. What is published about self-hosting, beside the same question put to the
kernels, the price catalogs and the full cost. Every figure of ours is for requests of 1,000 tokens in and 200 out
that hold TTFT 2 s and TPOT 60 ms at p95, on vLLM, the day peaking at twice its mean, with one spare replica, unless
it says otherwise; a million tokens is of that mix. People, evaluation and agents are those of
`data/catalog/costs.yaml`. `fleetcast breakeven` asks for your LLM, lengths, prices and volume.
"""
TAIL = """## Whose a cost is

`fleetcast plan` writes every line of the plan's cost (`cost_lines.parquet`, `full_cost` in `plan.json`), with item,
purpose, purchase option, region, source, date and amortisation: what each reserve costs, what stands idle, what is
spent on failed and retried work. Lines belong to classes by resource-seconds at the bottleneck: a pool that runs
out of compute first is divided by compute-seconds of prefill and decode, one that runs out of KV cache by
KV-token-seconds. A class with few long answers pays for the cache it holds, which its request count does not show.
Reserves and common services are divided as what is owned already, and so is what stands idle; own, shared and idle
cost stay apart and sum to the bill (a property test over random fleets holds them to 1e-9). A unit cost is a record
that cannot be made without its date, region, LLM and criterion of success. `budget.parquet` and `budget.csv` hold
the same in the columns of FOCUS 1.2.
"""


@cache
def _served(llm: str, gpu: str, precision: str, tp: int) -> tuple[Question, Answer]:
    question = Question(llm, gpu, precision, tp, "vllm", INPUT, OUTPUT, SLO)
    return question, examine(question)


def _compare(
    llm: str, gpu: str, precision: str, tp: int, usd: float, api: ApiPrice, bare: bool = False, spares: int = 1
) -> Comparison:
    question, answer = _served(llm, gpu, precision, tp)
    price = GpuPrice(usd, "as published", "as published", Source("as published", "2026"))
    return compare(question, price, [api], spares=spares, bare=bare, answer=answer)


def _api(key: str) -> ApiPrice:
    return next(one for one in load_api_prices() if one.key == key)


def _median(llm: str) -> ApiPrice:
    """The provider in the middle by price of the page's mix."""
    mine = [one for one in load_api_prices() if one.llm == llm]
    middle = median(sorted(one.usd_per_request(INPUT, OUTPUT) for one in mine))
    return min(mine, key=lambda one: abs(one.usd_per_request(INPUT, OUTPUT) - middle))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    align = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (head, align, *rows)] + [""]


def _m(tokens: float | None) -> str:
    """Tokens in millions."""
    return "never" if tokens is None else f"{tokens / 1e6:,.1f} M"


def _crossings(llm: str, gpu: str, precision: str, tp: int, usd: float, apis: Sequence[ApiPrice]) -> list[str]:
    rows = []
    for api in apis:
        alone = _compare(llm, gpu, precision, tp, usd, api, bare=True, spares=0).rows[0]
        whole = _compare(llm, gpu, precision, tp, usd, api).rows[0]
        busy = whole.crossing.utilisation
        rows.append(
            (
                api.key, f"{alone.usd_per_mtok:.2f}", _m(alone.daily_tokens), _m(whole.daily_tokens),
                "" if busy is None else f"{busy:.0%}", f"{whole.crossing.replica_utilisation:.0%}",
            )
        )  # fmt: skip
    head = (
        "API", "USD/Mtok", "one GPU replica alone, tokens/day", "with spare and people, tokens/day",
        "utilisation there", "one replica pays for itself at",
    )  # fmt: skip
    return _table(head, rows)


def _seven() -> list[str]:
    own = _compare("Llama-2-7B", "H100-SXM", "bf16", 1, 1.65, _api("gpt-4o"))
    each = own.own_usd_per_mtok
    year = 1.65 * 8760
    a100 = _compare("Llama-2-7B", "A100-80GB-SXM", "bf16", 1, 2.20, SONNET)
    alone = _compare("Llama-2-7B", "A100-80GB-SXM", "bf16", 1, 2.20, SONNET, bare=True, spares=0)
    first, only = a100.rows[0].crossing.first_daily or 0.0, alone.rows[0].crossing.first_daily or 0.0
    near, far = (
        (_compare("Llama-2-7B", "H100-SXM", "bf16", 1, 1.65, SONNET, bare, spares).rows[0].daily_tokens or 0.0) / 2e6
        for bare, spares in ((True, 0), (False, 1))
    )
    return [
        "## Self-hosting 7B",
        "",
        f"Llama-2-7B on one H100 at 1.65 USD an hour: {own.own.rps:.1f} requests/s at the SLO, {each[1.0]:.3f} "
        "USD a million "
        f"tokens at 100 %, {each[0.3]:.3f} at 30 %.",
        "",
        *_crossings(
            "Llama-2-7B",
            "H100-SXM",
            "bf16",
            1,
            1.65,
            [_median("Llama-3.1-8B"), _api("gpt-4o-mini"), _api("gpt-4o"), SONNET],
        ),
        '- *"A 7B on an H100 spot at 1.65 USD an hour and 70 % utilisation is about 10,000 USD a year"* '
        f"(blackseedusa.com, read 2026-11). 70 % of a year is {0.7 * year:,.0f} USD, the year {year:,.0f}. It "
        "holds for a GPU "
        "that is given back for the other 30 % of the hours. One that idles is paid for: utilisation divides the "
        "tokens, not "
        "the bill.",
        '- *"Below 2 million tokens a day stay with the API"* (the same). It holds against every API above. Even '
        "a lone H100 "
        f"against the dearest of them needs {near:,.0f} times as many, and with a spare and people {far:,.0f} times.",
        '- *"7B on an A100 at 2.20 USD an hour pays from about 500,000 requests a month"* against 3 and 15 USD a '
        "million "
        f"tokens (theneuralbase.com, 2026-04). The lone A100 breaks even at {only * DAYS_PER_MONTH:,.0f} requests a "
        f"month, with spare and people at {first * DAYS_PER_MONTH:,.0f}. It holds for something between the two, "
        "and it "
        "compares a 7B with a frontier LLM: against APIs of its own size a 7B is far from breaking even at such "
        "volumes.",
        "",
    ]


def _seventy() -> list[str]:
    gpt, middle = _api("gpt-4o"), _median("Llama-3.3-70B")
    four = _compare("Llama-3.1-70B", "H100-SXM", "fp8", 4, 1.60, gpt)
    tokens_s = four.own.rps * TOKENS
    arithmetic = 4 * 1.60 * 720 / 10.0
    bare = _compare("Llama-3.1-70B", "H100-SXM", "fp8", 4, 1.60, gpt, bare=True, spares=0).rows[0].daily_tokens or 0.0
    whole = four.rows[0].daily_tokens or 0.0
    eight = _compare("Llama-3.1-70B", "A100-80GB-SXM", "bf16", 8, 7920 / 8 / HOURS_PER_MONTH, middle)
    return [
        "## Self-hosting 70B",
        "",
        f"Llama-3.1-70B in fp8 on four H100 at 1.60 USD a GPU-hour: {four.own.rps:.1f} requests/s at the SLO, "
        f"{tokens_s:,.0f} tokens/s in and out, {four.own_usd_per_mtok[1.0]:.2f} USD a million tokens at 100 %.",
        "",
        *_crossings(
            "Llama-3.1-70B",
            "H100-SXM",
            "fp8",
            4,
            1.60,
            [middle, _api("azure_ai/Meta-Llama-3.1-70B-Instruct"), gpt, SONNET],
        ),
        '- *"Four reserved H100 (4,608 USD a month) against 10 USD a million tokens break even at 0.46 million '
        'tokens a month"* '
        f"(kshirol-dev.github.io, read 2026-11). Its own figures give 4,608 / 10 = {arithmetic:,.1f} million: a "
        "thousand times "
        f"more. With GPT-4o's two prices over this mix it is {bare * DAYS_PER_MONTH / 1e6:,.0f} million for the "
        "GPUs alone and "
        f"{whole * DAYS_PER_MONTH / 1e6:,.0f} million with a spare and people. It holds nowhere.",
        '- *"Two nodes of eight A100, 15,840 USD a month, are a realistic 70B"* (neuralrouting.io, 2026-03). '
        "Eight A100 in bf16 "
        f"carry {eight.own.rps:.1f} requests/s at the SLO, which is "
        f"{eight.own.rps * TOKENS * HOURS_PER_MONTH * SECONDS_PER_HOUR / 1e9:,.1f} billion tokens a month if "
        "always full. "
        "It holds as a price of two replicas, one of them the spare. Break-even in tokens a day against the median 70B "
        f"API ({eight.rows[0].usd_per_mtok:.2f} USD a million tokens): {_m(eight.rows[0].daily_tokens)}.",
        "",
    ]


def _tokens() -> list[str]:
    rows = []
    for llm, gpu, precision, tp, usd, published, source in (
        ("Llama-3.1-70B", "H100-SXM", "fp8", 4, 2.50, "0.82 at 100 %", "kshirol-dev.github.io, on demand"),
        (
            "Llama-3.1-70B",
            "H100-SXM",
            "fp8",
            4,
            1.60,
            "0.52 at 100 %, 1.72 at 30 %, 5.15 at 10 %",
            "the same, reserved",
        ),
        ("Llama-3.1-70B", "H100-SXM", "fp8", 2, 2.00, "0.50 at 100 %, 5 at 10 %", "blog.rajpoot.dev, one H100"),
        ("Llama-3.1-8B", "A100-80GB-SXM", "bf16", 1, 1.25, "0.10 to 0.30", "blog.rajpoot.dev, 1 to 1.50 USD an hour"),
    ):
        one = _compare(llm, gpu, precision, tp, usd, _api("gpt-4o"))
        each = one.own_usd_per_mtok
        out = usd * tp / (one.own.rps * SECONDS_PER_HOUR * OUTPUT / 1e6)
        rows.append(
            (
                f"{llm} {precision}, {tp} x {gpu}, {usd:.2f} USD ({source})", published,
                f"{each[1.0]:.2f} / {each[0.3]:.2f} / {each[0.1]:.2f}", f"{out:.2f}",
            )
        )  # fmt: skip
    head = ("configuration", "published", "ours at 100 / 30 / 10 %", "ours a million output tokens at 100 %")
    return [
        "## Cost per million tokens",
        "",
        *_table(head, rows),
        "Dividing an hour's price by an hour's tokens is right; which tokens is what differs. Most published "
        "throughputs are "
        "output tokens of saturated batches with no latency limit. At an SLO, and with the prompt's tokens "
        "counted as APIs bill "
        "them, the mix costs the third column; charged to the output alone, the last. Half-empty replicas cost "
        "in proportion: "
        "ten times as much at 10 % holds everywhere. None of these has a spare replica or people in it.",
        "",
    ]


def _hidden() -> list[str]:
    figures = assumed(CostPolicy())
    question, answer = _served("Llama-3.1-70B", "H100-SXM", "fp8", 4)
    rows = []
    for replicas in (1, 4, 20, 100):
        gpus = 4 * (replicas + 1)
        bill = gpus * 2.50 * HOURS_PER_MONTH
        more = running_costs(figures, gpus)
        requests = answer.capacity.operating_rps / 2 * replicas * SECONDS_PER_HOUR * HOURS_PER_MONTH
        network = requests * OUTPUT * figures["wire_bytes_per_output_token"][0] / 1e9 * figures["network_usd_per_gb"][0]
        logs = requests * TOKENS * figures["log_bytes_per_token"][0] / 1e9 * figures["storage_usd_per_gb_month"][0]
        traces = requests * figures["observability_bytes_per_request"][0] / 1e9 * figures["observability_usd_per_gb"][0]
        total = bill + sum(more.values()) + network + logs + traces
        rows.append(
            (
                f"{replicas} + 1 spare", f"{bill * replicas / (replicas + 1):,.0f}", f"{bill / (replicas + 1):,.0f}",
                f"{more['engineering']:,.0f}", f"{more['evaluation']:,.0f}", f"{more['observability'] + traces:,.0f}",
                f"{network:,.0f}", f"{logs:,.0f}", f"{total / (bill * replicas / (replicas + 1)):.1f}x",
            )
        )  # fmt: skip
    head = (
        "replicas of four H100", "working GPUs", "spare GPUs", "engineering", "evaluation", "observability", "network",
        "storage", "over working GPUs",
    )  # fmt: skip
    setup, saved = 3 * 15_000 * 0.5, 40_000 - (10_000 + 15_000 * 0.30)
    # Their month: 583 billion tokens; four always full replicas at 0.250 USD a million, the API at 0.317.
    full = 70_000 / 0.250 * 1e6
    one = SelfHost(full / 4 / (HOURS_PER_MONTH * SECONDS_PER_HOUR), 70_000 / 4, spares=0, peak_to_mean=2.0)
    mix = hybrid(one, 0.317e-6, 583e9 / DAYS_PER_MONTH)
    return [
        "## Hidden monthly costs",
        "",
        f"{question.llm} in fp8 at 2.50 USD a GPU-hour, half full on average, US dollars a month:",
        "",
        *_table(head, rows),
        '- *"The total is 3 to 5 times the GPU bill"* (blackseedusa.com). It holds for one replica and its '
        "spare; people and "
        "spares are shared by more, and at twenty replicas the rest is a fraction of the bill. It is a statement "
        "about small "
        "fleets.",
        '- *"0.5 to 2 engineers, 100,000 to 400,000 USD a year"* (kshirol-dev.github.io) and *"20 % of one at '
        '150,000 to 250,000"* '
        "(neuralrouting.io): 2,500 to 33,000 USD a month. The catalog's half an engineer and half for every "
        "hundred GPUs lies "
        "within; it is the assumption that decides small break-evens, so state your own.",
        '- *"API 40,000, GPUs 10,000, an engineer of 15,000 at 30 %, three months of set-up at 50 %: pays back '
        "in about 1.5 "
        f'months"* (peakinfer.com). {setup:,.0f} USD of set-up over {saved:,.0f} saved a month are '
        f"{setup / saved:.2f} months by "
        "its own formula.",
        '- *"583 billion tokens a month, replicas for the base and the API for the rest: 166,000 instead of '
        "185,000 USD, 10 % "
        f'less"* (arafatkatze.github.io). With its two prices and a day that peaks at twice its mean the best mix is '
        f"{mix.replicas} replicas for {mix.own_share:.0%} of the tokens at {mix.usd:,.0f} USD against "
        f"{mix.api_usd:,.0f}, "
        f"{1 - mix.usd / mix.api_usd:.0%} less. It holds: where self-hosting is a fifth cheaper when full, a mix "
        "saves about a "
        "tenth, because peaks are not worth a replica.",
        "",
    ]


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *_seven(), *_seventy(), *_tokens(), *_hidden(), TAIL])


if __name__ == "__main__":
    print(page(), end="")
