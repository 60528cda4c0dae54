"""`fleetcast init`: a commented scenario from a few answers, checked before it is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from configs.errors import InputError
from configs.loading import load_scenario
from configs.matching import Match
from configs.traffic import Ingested, IngestedLengths
from data.catalog import find_gpu, find_llm
from data.ingested import ingested_hours, ingested_lengths, selection
from data.labels import label_shares
from data.prices import load_prices
from data.statistics.describe import describe_dataset

ENOUGH_HOURS = 48
"""Whole hours of history from which a forecast is made; below, arrivals follow a documented daily shape."""
COLD_WEEKS = 4
LEAST_REQUESTS = 5
"""Requests that tell a rate; of fewer, the time between them is mostly chance."""
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
    match, of_llm = _match(answers, llm)
    source, told = _source(answers, out, match)
    lengths, why = _lengths(answers, out, match)
    told += of_llm + _regions(answers, match) + why
    budget = answers.budget_usd_per_month
    text = TEMPLATE.format(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", out.stem).strip("-._") or "scenario", told=told, llm=llm,
        request_class=_quoted(answers.request_class), source=source, lengths=lengths,
        dataset=_relative(answers.dataset, out), region=_quoted(answers.region),
        ttft_s=answers.ttft_s, tpot_s=answers.tpot_s,
        months=answers.months, gpus=", ".join(gpus), markets=", ".join(markets), volume=answers.volume,
        quota="{" + ", ".join(f"{gpu}: {answers.quota}" for gpu in gpus) + "}" if answers.quota is not None else "{}",
        budget="" if budget is None else f"\n  budget_usd_per_month: {budget:.15g}",
    )  # fmt: skip
    scratch = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        try:
            load_scenario(scratch)
        except InputError as error:
            raise InputError(
                error.where.replace(str(scratch), str(out)), error.expected, error.got, error.fix
            ) from None
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


def _match(answers: Answers, llm: str) -> tuple[Match | None, str]:
    """Which requests of a log of several LLMs are planned, and what to say of it."""
    shares = label_shares(answers.dataset, "llm")
    if len(shares) < 2:
        return None, ""
    mine = {name: share for name, share in shares.items() if name is not None and _is(name, llm)}
    others = {name: share for name, share in shares.items() if name not in mine}
    if mine and others:
        said = f" Requests to {_listed(mine)} are planned, those to {_listed(others)} are not."
        return Match(llm=tuple(name for name in mine if name is not None)), said
    narrow = " Narrow them with `match: {llm: [...]}`." if others else ""
    return None, f" All requests, to {_listed(shares)}, are planned for {llm}.{narrow}"


def _is(name: str, llm: str) -> bool:
    """Whether a name in a log is that LLM, and one that a rule can match as it is."""
    try:
        return find_llm(name).name == llm and not name.startswith("!") and not name.endswith("*")
    except InputError:
        return False


def _regions(answers: Answers, match: Match | None) -> str:
    shares = label_shares(answers.dataset, "region", match)
    if len(shares) < 2:
        return ""
    return f" They came from {_listed(shares)}: all are taken as {_quoted(answers.region)}; divide them in `regions`."


def _listed(shares: Mapping[str, float] | Mapping[str | None, float], most: int = 4) -> str:
    """Names with their shares, the largest first."""
    named = [f"{'no name' if name is None else _quoted(name)} ({share:.0%})" for name, share in shares.items()]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")


def _ingested(path: str, match: Match | None) -> str:
    """A source or lengths of the dataset, as YAML."""
    if match is None or match.llm is None:
        return f"{{kind: ingested, dataset: {_quoted(path)}}}"
    names = ", ".join(map(_quoted, match.llm))
    return f"{{kind: ingested, dataset: {_quoted(path)}, match: {{llm: [{names}]}}}}"


def _source(answers: Answers, out: Path, match: Match | None) -> tuple[str, str]:
    """The `source` of the series and a sentence on why it is this one."""
    path = _path(answers.dataset, out)
    try:
        hours, _, _ = ingested_hours(Ingested(dataset=path, match=match), out.resolve().parent, None, "all")
        whole = len(hours)
    except InputError:
        # Less than a day is whole: describe_dataset below tells whether there is a dataset at all.
        whole = 0
    if whole >= ENOUGH_HOURS:
        return _ingested(path, match), f"{whole} hours of history are forecast from."
    profiles = describe_dataset(answers.dataset, selection(None, "all", match)[0]).classes
    profile = next(one for one in profiles if one.name == "all")
    # By the finest bins: those at the ends are only partly filled.
    finest = min(profile.arrivals.rates, key=lambda one: one.width_s, default=None)
    mean = float(profile.requests) if finest is None else finest.mean * 3600.0 / finest.width_s
    if profile.requests < LEAST_REQUESTS:
        raise InputError(
            str(answers.dataset), f"at least {LEAST_REQUESTS} requests to tell a rate from", f"{profile.requests:g}",
            "Ingest a longer log, or write the scenario with a `synthetic` source of the volume that you expect.",
        )  # fmt: skip
    ahead = _first_day()
    return (
        f"{{kind: synthetic, first_day: {ahead}, weeks: {COLD_WEEKS}, mean_requests_per_hour: {mean:.6g}}}",
        f"{whole} whole hours are too few to forecast from ({ENOUGH_HOURS} are needed): arrivals are synthetic at the "
        f"measured mean of {mean:,.3g} requests an hour; token lengths are the trace's own.",
    )


def _lengths(answers: Answers, out: Path, match: Match | None) -> tuple[str, str]:
    """The `lengths` of the series, and what to say where they are not the dataset's own."""
    path = _path(answers.dataset, out)
    try:
        ingested_lengths(IngestedLengths(dataset=path, match=match), out.resolve().parent, None, "all", 0.0, 0)
    except InputError:
        return (
            f"{{kind: file, public_name: {STAND_IN}}}",
            " The dataset counts requests and has no token lengths: those of Azure's conversations of 2023 stand in. "
            "Put your own in `lengths`.",
        )
    return _ingested(path, match), ""


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
      slo: {{ttft_s: {ttft_s:.15g}, tpot_s: {tpot_s:.15g}, percentile: 95}}
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
      volume_multiplier: {volume:.15g}          # a declared scaling; every output repeats it

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
