"""`fleetcast init`: a commented scenario from a few answers, checked before it is written."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from configs.classes import ClassRules
from configs.errors import InputError
from configs.loading import load_scenario
from configs.traffic import Ingested, IngestedLengths
from data.catalog import find_gpu, find_llm
from data.ingested import ingested_hours, ingested_lengths
from data.prices import load_prices
from data.statistics.describe import describe_dataset

ENOUGH_HOURS = 48
"""Whole hours of history from which a forecast is made; below, arrivals follow a documented daily shape."""
COLD_WEEKS = 4
STAND_IN = "azure-2023-conversation"
"""Public trace whose lengths are taken where the dataset has none."""
WORDS = {"yes", "no", "on", "off", "y", "n", "true", "false", "null"}
"""What YAML takes for something else than text."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a starter scenario is made from. markets: PROVIDER/REGION; quota: most GPUs of each type, None unlimited."""

    dataset: Path
    llm: str
    request_class: str
    gpus: tuple[str, ...]
    markets: tuple[str, ...]
    region: str
    ttft_s: float
    tpot_s: float
    months: int
    quota: int | None
    budget_usd_per_month: float | None
    volume: float


def write(answers: Answers, out: Path) -> str:
    """Writes the scenario and returns what was decided about the traffic.

    Raises InputError, with nothing written, for names that no catalog has, a dataset that cannot be read, a market that
    sells none of the GPUs, or a file that is there already.
    """
    if out.exists():
        raise InputError(str(out), "a file that does not exist yet", "one that does", "Name another with --out.")
    llm, gpus = find_llm(answers.llm).name, [find_gpu(name).name for name in answers.gpus]
    markets = [_market(text, gpus) for text in answers.markets]
    source, told = _source(answers, out)
    lengths, why = _lengths(answers, out)
    told += why
    budget = answers.budget_usd_per_month
    text = TEMPLATE.format(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", out.stem).strip("-._") or "scenario", told=told, llm=llm,
        request_class=_quoted(answers.request_class), source=source, lengths=lengths,
        dataset=_relative(answers.dataset, out), region=_quoted(answers.region),
        ttft_s=answers.ttft_s, tpot_s=answers.tpot_s,
        months=answers.months, gpus=", ".join(gpus), markets=", ".join(markets), volume=answers.volume,
        quota="{" + ", ".join(f"{gpu}: {answers.quota}" for gpu in gpus) + "}" if answers.quota is not None else "{}",
        budget="" if budget is None else f"\n  budget_usd_per_month: {budget:g}",
    )  # fmt: skip
    scratch = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        load_scenario(scratch)
        scratch.rename(out)
    except OSError as error:
        raise InputError(
            str(out), "a file that can be written", str(error.strerror), "Name another with --out."
        ) from None
    finally:
        scratch.unlink(missing_ok=True)
    return told


def _relative(dataset: Path, out: Path) -> str:
    """The dataset as the scenario names it: from its own folder, quoted."""
    return _quoted(_path(dataset, out))


def _path(dataset: Path, out: Path) -> str:
    return Path(os.path.relpath(dataset.resolve(), out.resolve().parent)).as_posix()


def _quoted(text: str) -> str:
    """A plain name as it is; anything else as a JSON string, which YAML reads as what it is."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*", text) and text.lower() not in WORDS
    return text if plain else json.dumps(text)


def _market(text: str, gpus: list[str]) -> str:
    provider, slash, region = text.partition("/")
    rows = load_prices().rows
    places = sorted({f"{row.provider}/{row.region}" for row in rows if row.gpu in gpus})
    if not slash or f"{provider}/{region}" not in places:
        raise InputError(
            f"--market {text}", f"PROVIDER/REGION of the price catalog that sells {', '.join(gpus)}", repr(text),
            f"Choose of: {', '.join(places)}.",
        )  # fmt: skip
    return f"{{provider: {provider}, region: {region}}}"


def _source(answers: Answers, out: Path) -> tuple[str, str]:
    """The `source` of the series and a sentence on why it is this one."""
    path = _path(answers.dataset, out)
    try:
        hours, _, _ = ingested_hours(Ingested(dataset=path), out.resolve().parent, None, "all")
        whole = len(hours)
    except InputError:
        # Less than a day is whole: describe_dataset below tells whether there is a dataset at all.
        whole = 0
    if whole >= ENOUGH_HOURS:
        return f"{{kind: ingested, dataset: {_quoted(path)}}}", f"{whole} hours of history are forecast from."
    (profile,) = describe_dataset(answers.dataset, ClassRules(unmatched="all")).classes
    # By the finest bins: those at the ends are only partly filled.
    finest = min(profile.arrivals.rates, key=lambda one: one.width_s, default=None)
    mean = float(profile.requests) if finest is None else finest.mean * 3600.0 / finest.width_s
    ahead = _first_day()
    return (
        f"{{kind: synthetic, first_day: {ahead}, weeks: {COLD_WEEKS}, mean_requests_per_hour: {mean:.0f}}}",
        f"{whole} whole hours are too few to forecast from ({ENOUGH_HOURS} are needed): arrivals are synthetic at the "
        f"measured mean of {mean:,.0f} requests an hour; token lengths are the trace's own.",
    )


def _lengths(answers: Answers, out: Path) -> tuple[str, str]:
    """The `lengths` of the series, and what to say where they are not the dataset's own."""
    path = _path(answers.dataset, out)
    try:
        ingested_lengths(IngestedLengths(dataset=path), out.resolve().parent, None, "all", 0.0, 0)
    except InputError:
        return (
            f"{{kind: file, public_name: {STAND_IN}}}",
            " The dataset counts requests and has no token lengths: those of Azure's conversations of 2023 stand in. "
            "Put your own in `lengths`.",
        )
    return f"{{kind: ingested, dataset: {_quoted(path)}}}", ""


def _first_day() -> str:
    from datetime import UTC, datetime

    return str((datetime.now(UTC) - timedelta(weeks=COLD_WEEKS)).date())


TEMPLATE = """# A starter scenario, written by `fleetcast init`; every key is in docs/configuration.md.
#   fleetcast plan --config THIS_FILE
name: {name}
description: Starter scenario of {name}
seed: 1

traffic:
  classes:
    # What "served" means: TTFT and TPOT hold together for this percentile of requests.
    {request_class}:
      slo: {{ttft_s: {ttft_s:g}, tpot_s: {tpot_s:g}, percentile: 95}}
      protected: true               # survives the loss of a replica
      shed_usd_per_request: 0.5     # what a request not served costs you: it prices a shortfall, never hides it
  series:
    - llm: {llm}
      request_class: {request_class}
      # {told}
      # With two days of your own log or more: {{kind: ingested, dataset: {dataset}}}
      source: {source}
      lengths: {lengths}
      regions: {{{region}: 1.0}}     # where requests come from, as shares
      volume_multiplier: {volume:g}          # a declared scaling; every output repeats it

forecast:
  horizon_months: {months}
  growth_per_month: 0.0             # growth that history does not show, as a fraction a month

evaluate:
  llms: [{llm}]
  gpus: [{gpus}]
  precisions: [bf16, fp8]           # list only those whose quality you accept
  tensor_parallel: [1, 2, 4, 8]
  engine: vllm

plan:
  regions:
    {region}:
      markets: [{markets}]
      gpu_quota: {quota}            # most GPUs of a type; none: unlimited
  failures_per_pool: 1              # replicas a pool may lose and still hold its SLO
  purchase_options: [on_demand, reserved_1y, reserved_3y]{budget}
"""
