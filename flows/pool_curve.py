"""`fleetcast curve` with what may happen to a pool: `--replicas`, `--queue`, `--patience`, `--retries`, `--lose` ..."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import InputError
from data.pool_curve_records import ClassFates, PoolCurve, PoolRules
from flows.curve import CurveAnswer, CurveQuestion, asked_of
from flows.progress import report
from models.pool_curve import MOST_REQUESTS, POOL_LOADS, TooLongError, pool_curve, scored_span
from models.simulator.pool import ROUTING


def examine_pool(question: CurveQuestion, rules: PoolRules) -> CurveAnswer:
    """The curve of a pool of the question's configuration. Raises InputError as `check` and flows.curve.examine do."""
    check(rules, question.classes)
    asked, row = asked_of(question)
    if asked is None:
        return CurveAnswer(None, row)
    try:
        curve = pool_curve(asked, rules, lambda part: report(f"  {part}"))
    except TooLongError as error:
        span = scored_span(rules)
        if span is None or not error.late:
            fix = "Ask for fewer --replicas or shorter answers."
            raise InputError("curve", "a pool that can be simulated", str(error), fix) from None
        raise InputError(
            "--lose-at, --back-after",
            f"a loss that is over soon enough to be simulated at {POOL_LOADS[-1]:g} times the knee "
            f"({MOST_REQUESTS:,} requests)",
            f"one scored until {span[1]:g} s: {error}",
            "Lose it sooner, or let it come back sooner.",
        ) from None
    return CurveAnswer(curve, row)


def check(rules: PoolRules, classes: tuple[str, ...]) -> None:
    """Raises InputError for rules that cannot be, or of which one says nothing without another."""
    if rules.routing not in ROUTING:
        raise InputError("--routing", f"one of {', '.join(ROUTING)}", rules.routing, "Choose one of them.")
    if rules.lost > rules.replicas or (rules.lost == rules.replicas and rules.back_after_s is None):
        raise InputError(
            "--lose", f"fewer than the {rules.replicas} replicas of the pool", str(rules.lost),
            "Lose fewer, raise --replicas, or let them come back with --back-after.",
        )  # fmt: skip
    if not rules.lost and (rules.back_after_s is not None or rules.drains):
        told = "--back-after" if rules.back_after_s is not None else "--drain"
        raise InputError(told, "replicas that go away", "none", "Say how many with --lose.")
    nobody_fails = rules.max_queue is None and rules.first_token_wait_s is None and rules.deadline_s is None
    if rules.retries and nobody_fails and not rules.lost:
        raise InputError(
            "--retries", "requests that can fail", "none of them", "Add --queue, --patience, --deadline or --lose."
        )
    wait, whole = rules.first_token_wait_s, rules.deadline_s
    if wait is not None and whole is not None and wait >= whole:
        raise InputError("--patience", f"less than the --deadline of {whole:g} s", f"{wait:g} s", "Lower it.")
    if not rules.urgent:
        return
    unknown = [name for name in rules.urgent if name not in classes]
    if unknown:
        among = ", ".join(classes) or "no class"
        raise InputError("--priority", f"a class named by --class ({among})", unknown[0], "Name it by --class, too.")
    if set(rules.urgent) == set(classes):
        raise InputError("--priority", "some of the classes", "all of them", "Leave out those that may wait.")


def in_words(rules: PoolRules) -> str:
    """What may happen, as a sentence."""
    many = rules.replicas > 1
    said = [f"{rules.replicas} replicas, {rules.routing.replace('_', ' ')}" if many else "1 replica"]
    if rules.max_num_seqs is not None:
        said.append(f"at most {rules.max_num_seqs} run at a replica")
    said.append("any number may wait" if rules.max_queue is None else f"at most {rules.max_queue} wait at a replica")
    if rules.first_token_wait_s is not None:
        said.append(f"clients leave without a first token after {rules.first_token_wait_s:g} s")
    if rules.deadline_s is not None:
        said.append(f"without the last after {rules.deadline_s:g} s")
    if rules.retries:
        said.append(f"who fails comes again {rules.retries} times after {rules.backoff_s:g} s, doubling")
    if rules.urgent:
        said.append(f"{', '.join(rules.urgent)} before the others")
    if rules.lost:
        one = rules.lost == 1
        how = ("drains" if one else "drain") if rules.drains else ("is" if one else "are") + " lost with all held"
        back = "for good" if rules.back_after_s is None else f"for {rules.back_after_s:g} s"
        said.append(f"{rules.lost} {how} at {rules.lost_at_s:g} s, {back}")
    return "; ".join(said)


def show_pool(console: Console, curve: PoolCurve) -> None:
    """The curve as a table."""
    rules = curve.rules
    shares = " + ".join(f"{name} {share:.0%}" for name, share in curve.shares.items())
    console.print(f"[bold]{escape(curve.configuration.label)}[/] serving {escape(shares)}")
    console.print(escape(in_words(rules)) + ".")
    many = f"{rules.replicas} lone replicas carry" if rules.replicas > 1 else "with nothing of this it carries"
    alone = f"{many} {curve.knee_rps * rules.replicas:.2f}"
    carries = f"{curve.carries_rps:.2f} requests/s" if curve.carries_rps else "none of these loads"
    console.print(
        f"Every SLO holds up to {carries}, requests that are not served counted as broken ({alone}). "
        f"{escape(curve.method)}, step time {curve.provenance}."
    )
    if curve.scored_s is not None:
        begins, ends = curve.scored_s
        console.print(f"Scored: requests that are there at {begins:g} s or come until {ends:g} s.")
    for name, slo in curve.slos.items():
        stated = [one for one in slo.limits if one.seconds < math.inf]
        limits = [f"{one.label} p{one.percentile:g} ≤ {one.seconds:g} s" for one in stated]
        console.print(f"SLO of {escape(name)}: {', '.join(limits)}")
    console.print()
    console.print(_table(curve))


def _table(curve: PoolCurve) -> Table:
    """What cannot happen under the rules has no column."""
    several = len(curve.shares) > 1
    rules = curve.rules
    waits = rules.first_token_wait_s is not None or rules.deadline_s is not None
    fates = {
        "rejected": rules.max_queue is not None or rules.lost == rules.replicas,
        "gave up": waits,
        "lost": rules.lost > 0,
        "again": rules.retries > 0,
    }
    table = Table(box=None, pad_edge=False, header_style="dim")
    head = ["offered", *(["class"] if several else []), "goodput", "TTFT p50", "p95", "p99 s", "TPOT p50", "p95"]
    head += ["p99 ms", "in SLO", *(name for name, may in fates.items() if may), "preempted", "busy", "SLO"]
    for name in head:
        table.add_column(name, justify="left" if name in ("class", "SLO") else "right")
    for point in curve.points:
        for index, one in enumerate(point.classes):
            first = index == 0
            whose = [escape(one.times.name)] if several else []
            shares = dict(zip(fates, (one.rejected, one.timed_out, one.lost, one.retried), strict=True))
            became = [f"{share:.1%}" for name, share in shares.items() if fates[name]]
            shared = [f"{point.preemptions:.1%}", f"{point.utilisation:.0%}"] if first else ["", ""]
            offered = f"{point.offered_rps:.2f}" if first else ""
            table.add_row(offered, *whose, *_cells(one), *became, *shared, _verdict(one))
    return table


def _cells(one: ClassFates) -> list[str]:
    ttft, tpot = one.times.ttft, one.times.tpot
    cells = [f"{one.goodput_rps:.2f}", *(f"{value:.2f}" for value in (ttft.p50_s, ttft.p95_s, ttft.p99_s))]
    cells += [f"{value * 1e3:.1f}" for value in (tpot.p50_s, tpot.p95_s, tpot.p99_s)]
    return [*cells, f"{one.times.within_slo:.1%}"]


def _verdict(one: ClassFates) -> str:
    return "[green]holds[/]" if one.holds else "[red]breaks[/]"
