"""`fleetcast curve`: the service curve of one configuration under a scenario's classes or under fixed lengths."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import InputError
from configs.evaluation import EvaluationPolicy
from configs.loading import load_scenario
from configs.validation import validated
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.curve_records import CurvePoint, ServiceCurve
from data.ingest import load_history
from data.plain import finite
from data.pool_curve_records import PoolCurve
from data.records import Capacity, LengthSample, SloTarget
from data.slo import slo_target
from flows.progress import report
from flows.run_folder import whole_folder
from flows.show_size import band_in_words
from models.corrections import passed_over
from models.curve import Asked, service_curve
from models.evaluate import evaluate
from models.simulator.engine import engine_limits
from models.simulator.knee import TARGET_BAND
from models.simulator.load import ClassLoad, Mix, mean_context_tokens
from models.step_cost import step_cost
from reports.curve_chart import curve_svg
from reports.pool_curve_chart import pool_curve_svg

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CurveQuestion:
    """One configuration and what it is asked to serve: classes of a scenario, or requests of one length."""

    gpu: str
    precision: str
    tensor_parallel: int
    engine: str
    config: str | None
    classes: tuple[str, ...]
    llm: str | None
    input_tokens: int
    output_tokens: int
    slo: SloTarget
    growth_per_min: float
    time_to_ready_s: float
    data_folder: Path | None = None
    calibration: tuple[Path, ...] = ()
    """Files of `fleetcast calibrate` and `loadtest`, besides those that the scenario names."""
    seed: int = 0
    arrival_cv: float | None = None
    """Of the gaps between arrivals; None: the scenario's, 1 (Poisson) without one."""


@dataclass(frozen=True, slots=True)
class CurveAnswer:
    """The curve, or the row of the capacity table that says why there is none."""

    curve: ServiceCurve | PoolCurve | None
    capacity: Capacity


def examine(question: CurveQuestion) -> CurveAnswer:
    """The service curve of a configuration. Raises InputError for unknown names, precisions and classes."""
    asked, row = asked_of(question)
    if asked is None:
        return CurveAnswer(None, row)
    return CurveAnswer(service_curve(asked, lambda part: report(f"  {part}")), row)


def asked_of(question: CurveQuestion) -> tuple[Asked | None, Capacity]:
    """The configuration as the simulator sees it, None where it cannot serve, and its row of the capacity table."""
    llm_name, mix, calibration, cv = _mix(question)
    llm, gpu, engine = find_llm(llm_name), find_gpu(question.gpu), find_engine(question.engine)
    asked_for = {
        "llms": [llm.name],
        "gpus": [gpu.name],
        "precisions": [question.precision],
        "tensor_parallel": [question.tensor_parallel],
        "engine": question.engine,
        "arrival_cv": cv,
    }
    policy = validated(EvaluationPolicy, asked_for, "command line")
    coefficients = load_coefficients(calibration=calibration)
    lengths = {(llm.name, one.name): one.lengths for one in mix}
    table = evaluate([llm], [gpu], engine, coefficients, policy, lengths, {one.name: one.slo for one in mix})
    for text in passed_over(coefficients.corrections, [row.configuration for row in table.rows]):
        LOG.warning(text)
    excused = [row for row in table.rows if row.excuse is not None]
    if excused:
        return None, excused[0]
    row = table.rows[0]
    shares = {one.name: one.share for one in mix}
    total = sum(shares.values())
    context = mean_context_tokens(mix)
    cost = step_cost([row.configuration], {llm.name: llm}, {gpu.name: gpu}, engine, coefficients, [context])
    one = row.configuration
    limits = engine_limits(engine, one.max_num_seqs, one.max_num_batched_tokens, row.kv_capacity_tokens)
    # The estimates of the classes alone, mixed by the seconds they need, start the search.
    guess = total / sum(shares[each.request_class] / each.knee_rps for each in table.rows)
    asked = Asked(
        row.configuration, cost, limits, mix, guess, row.provenance, policy.operating_point,
        question.growth_per_min, question.time_to_ready_s, seed=question.seed, cv=policy.arrival_cv,
        target_band=TARGET_BAND,
    )  # fmt: skip
    return asked, row


def _mix(question: CurveQuestion) -> tuple[str, Mix, tuple[Path, ...], float]:
    """The LLM and the classes that a replica is asked to serve, the calibration files that apply, and the variation of
    the gaps between arrivals."""
    if question.config is None and not question.classes:
        if question.llm is None:
            raise InputError("curve", "an LLM or a scenario's class", "neither", "Give --llm, or --config and --class.")
        one = np.array([question.input_tokens]), np.array([question.output_tokens]), np.array([0])
        sample = LengthSample(*one, np.ones(1), "command line")
        cv = question.arrival_cv or 1.0
        return question.llm, (ClassLoad("requests", 1.0, sample, question.slo),), question.calibration, cv
    loaded = load_scenario(question.config)
    traffic = loaded.scenario.traffic
    known = {one.request_class: find_llm(one.llm).name for one in traffic.series}
    names = question.classes or (next(iter(known)),)
    for name in names:
        if name not in known:
            raise InputError(
                f"class {name!r}", f"one of {', '.join(known)}", "an unknown one", "Name a class with traffic."
            )
    llms = {question.llm} if question.llm else {known[name] for name in names}
    if len(llms) > 1:
        raise InputError(
            "--class",
            "classes of one LLM",
            f"classes of {', '.join(sorted(llms))}",
            "A replica holds one LLM: add --llm.",
        )
    history = load_history(traffic, loaded.base, question.data_folder, loaded.scenario.seed)
    found = []
    for name in names:
        slo = traffic.classes[name].slo
        rate = history.frame.loc[history.frame["request_class"] == name, "requests"].sum()
        target = slo_target(slo)
        found.append(ClassLoad(name, float(rate), history.lengths[known[name], name], target))
    policy = loaded.scenario.evaluate
    calibration = (*(loaded.base / name for name in policy.calibration), *question.calibration)
    return llms.pop(), tuple(found), calibration, question.arrival_cv or policy.arrival_cv


def curve_json(answer: CurveAnswer) -> str:
    """Every field of the curve and the band its knee was to reach, or the capacity row with its excuse; nan becomes
    null."""
    target = {"knee_band_target": TARGET_BAND} if isinstance(answer.curve, ServiceCurve) else {}
    told = asdict(answer.capacity) if answer.curve is None else asdict(answer.curve) | target
    return json.dumps(finite(told), indent=2, allow_nan=False) + "\n"


def write_curve(answer: CurveAnswer, folder: Path) -> None:
    """A new folder with curve.json and, where there is a curve, curve.svg."""
    with whole_folder(folder) as scratch:
        (scratch / "curve.json").write_text(curve_json(answer), encoding="utf-8")
        if answer.curve is not None:
            curve = answer.curve
            picture = pool_curve_svg(curve) if isinstance(curve, PoolCurve) else curve_svg(curve)
            (scratch / "curve.svg").write_text(picture, encoding="utf-8")


def show_curve(console: Console, curve: ServiceCurve) -> None:
    """The curve as a table, then what to enforce and when to scale."""
    shares = " + ".join(f"{name} {share:.0%}" for name, share in curve.shares.items())
    console.print(f"[bold]{escape(curve.configuration.label)}[/] serving {escape(shares)}")
    console.print(
        f"Goodput knee {curve.knee_rps:.2f} requests/s, 90 % band {band_in_words(curve.knee_band, TARGET_BAND)}; "
        f"{escape(curve.binding)} breaks first; run it at {curve.operating_rps:.2f}. {escape(curve.method)}, step time "
        f"{curve.provenance}."
    )
    if curve.at_operating is not None:
        at = curve.at_operating
        within = ", ".join(f"{escape(one.name)} {one.within_slo:.1%}" for one in at.classes)
        console.print(
            f"[bold]At that load[/] busy {at.utilisation:.0%}, {at.waiting:.1f} waiting, {at.running:.1f} running, "
            f"KV {at.kv_share:.0%}; under the limits below rejected {at.rejected:.1%}, gave up {at.timed_out:.1%}, "
            f"in SLO {within}"
        )
    for name, slo in curve.slos.items():
        ttft, tpot, e2e = (one.percentile for one in slo.limits)
        end = f", end to end p{e2e:g} ≤ {slo.e2e_s:g} s" if slo.e2e_s is not None else ""
        console.print(
            f"SLO of {escape(name)}: TTFT p{ttft:g} ≤ {slo.ttft_s:g} s, TPOT p{tpot:g} ≤ {slo.tpot_s * 1e3:g} ms{end}"
        )
    console.print()
    console.print(_points(curve.points, len(curve.shares) > 1))
    limits = curve.limits
    console.print(
        f"\n[bold]Admission limits[/] a replica: max_num_seqs {limits.max_num_seqs}, at most {limits.max_queue} "
        f"waiting ({limits.concurrency} in all), {limits.tokens_in_flight:,} tokens in flight, give up a client "
        f"without a first token after {limits.deadline_s:g} s"
    )
    best = curve.signals[0]
    console.print(
        f"[bold]Scale[/] at {curve.scale_load_rps:.2f} requests/s a replica: load that grows by "
        f"{curve.growth_per_min:.1%} a minute reaches the knee in the {curve.time_to_ready_s:g} s that a replica needs"
    )
    for signal in curve.signals:
        most = " (the most telling)" if signal is best else ""
        console.print(
            f"  {signal.name}: {signal.threshold:.3g} {signal.unit} (at the knee {signal.at_knee:.3g}, "
            f"{signal.distance:.1f} standard deviations away){most}"
        )
    dealt, random = (
        ", ".join(f"{one.replicas}: {one.gain - 1:+.0%}" for one in curve.gains if one.routing == routing)
        for routing in ("round robin", "random")
    )
    by_chance = random or "nothing, as Poisson arrivals stay Poisson"
    console.print(
        f"[bold]Pools[/] that deal requests out in turn carry more a replica: {dealt}; at random: {by_chance}"
    )


def _verdict(share: float) -> str:
    """Whether the SLO holds, over seeds."""
    if share in (0.0, 1.0):
        return "[green]holds[/]" if share else "[red]breaks[/]"
    return f"[yellow]holds in {share:.0%}[/]"


def _points(points: Sequence[CurvePoint], several: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    head = ["offered", "goodput", *(["class"] if several else []), "TTFT p50", "p95", "p99 s", "TPOT p50", "p95"]
    head += ["p99 ms", "in SLO", "rejected", "gave up", "waiting", "running", "KV", "SLO"]
    for name in head:
        table.add_column(name, justify="left" if name in ("class", "SLO") else "right")
    for point in points:
        for index, one in enumerate(point.classes):
            first = index == 0
            ttft = [f"{value:.2f}" for value in (one.ttft.p50_s, one.ttft.p95_s, one.ttft.p99_s)]
            tpot = [f"{value * 1e3:.1f}" for value in (one.tpot.p50_s, one.tpot.p95_s, one.tpot.p99_s)]
            head_cells = [f"{point.offered_rps:.2f}", f"{point.goodput_rps:.2f}"] if first else ["", ""]
            tail = [f"{point.rejected:.1%}", f"{point.timed_out:.1%}", f"{point.waiting:.1f}", f"{point.running:.1f}"]
            tail += [f"{point.kv_share:.0%}", _verdict(point.holds)]
            whose = [escape(one.name)] if several else []
            row = [*head_cells, *whose, *ttft, *tpot, f"{one.within_slo:.1%}", *(tail if first else [""] * 6)]
            table.add_row(*row)
    return table
