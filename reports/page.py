"""The HTML page: words and numbers chosen here, laid out in templates/report.html.j2."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from reports import charts, tables
from reports.bundle import PlanBundle
from reports.tables import usd

TEMPLATES = Path(__file__).parent / "templates"


def headline(bundle: PlanBundle) -> str:
    """The plan in one sentence."""
    plan = bundle.plan
    if plan.stats.status not in ("optimal", "feasible"):
        return f"No plan was found: {plan.stats.termination}"
    month = tables.largest_month(bundle)
    gpus = sum(pool.gpus for pool in plan.pools if pool.month == month)
    cash = sum(cost.cash_usd for cost in plan.costs)
    committed = sum(p.gpus for p in plan.purchases if p.term_months > 0)
    buy = f"commit to {committed:,} GPUs" if committed else "commit to nothing yet"
    short = f"; {', '.join(bundle.unserved)} cannot be served in full" if bundle.unserved else ""
    return f"Run up to {gpus:,} GPUs for {usd(cash)} USD over {len(plan.costs)} months, {buy}{short}"


def banners(bundle: PlanBundle) -> list[str]:
    """What a reader must know before any number."""
    found = []
    if bundle.synthetic:
        found.append("The traffic is a documented synthetic workload, not a measured one.")
    found += [
        f"The volume of {name} is multiplied by {factor:,g} by declaration: it is not the trace's own."
        for name, factor in bundle.volume_multipliers.items()
    ]
    found += [
        f"The forecast of {one.key.llm}/{one.key.request_class}/{one.key.region} is graded D: {one.reason}."
        for one in bundle.forecast.series
        if one.grade == "D"
    ]
    second_hand = sorted({o.gpu for o in bundle.problem.offers if o.quality == "second_hand"})
    if second_hand:
        found.append(f"Some prices are second-hand and must be confirmed before buying: {', '.join(second_hand)}.")
    missed = [row for row in bundle.replay.rows if not row.holds]
    if missed:
        first = missed[0]
        found.append(
            f"The replay misses its SLO in {len(missed)} of {len(bundle.replay.rows)} cases, first "
            f"{first.configuration.label} in {first.region}, {first.situation}: {first.breaks}."
        )
    guessed = {row.configuration.gpu for row in bundle.problem.capacities if row.provenance == "roofline"}
    used = {pool.configuration.gpu for pool in bundle.plan.pools} & guessed
    if used:
        found.append(f"No fitted coefficients for {', '.join(sorted(used))}: their goodput is a roofline guess.")
    return found


def cards(bundle: PlanBundle) -> list[tuple[str, str, str]]:
    """Label, figure and one line of context."""
    plan, problem = bundle.plan, bundle.problem
    if not plan.costs:
        return [("Status", plan.stats.status, plan.stats.termination)]
    cash = [cost.cash_usd for cost in plan.costs]
    usds, p = np.asarray(plan.scenario_usd), problem.demand.probabilities
    order = np.argsort(usds)
    cumulative = np.cumsum(p[order])
    p95 = float(usds[order][min(int(np.searchsorted(cumulative, 0.95 - 1e-9)), len(usds) - 1)])
    lost = sum(s.worst_rps for s in plan.shortfalls)
    served = f"all protected demand up to the {problem.planning_quantile:.0%} scenario"
    return [
        (
            "Cash a month, expected",
            f"{usd(float(np.mean(cash)))} USD",
            f"{min(cash):,.0f} to {max(cash):,.0f} by month",
        ),
        ("Cash of the horizon", f"{usd(sum(cash))} USD", f"p95 over demand scenarios {usd(p95)} USD"),
        (
            "Served",
            "yes" if not bundle.unserved else "not all",
            served if not plan.shortfalls else f"{lost:,.3g} req/s short at worst in {len(plan.shortfalls)} blocks",
        ),
        replay_card(bundle),
        ("Proven gap", f"{plan.stats.gap:.2%}", f"bound {usd(plan.stats.bound_usd)} USD, {plan.stats.status}"),
    ]


def replay_card(bundle: PlanBundle) -> tuple[str, str, str]:
    """Whether the planned pools hold their SLO when they are simulated at their peak."""
    rows, again = bundle.replay.rows, bundle.replay.rounds
    good = sum(row.holds for row in rows)
    after = f" after {len(bundle.replay.deratings)} deratings" if again else ""
    return ("Replay", "holds" if bundle.replay.holds else "misses", f"{good} of {len(rows)} cases within SLO{after}")


def notes(bundle: PlanBundle) -> list[str]:
    """Every assumption, repair and policy in words, once."""
    found = [f"{note.where}: {note.text}" for note in bundle.history.notes]
    found += [*bundle.forecast.notes, *bundle.problem.demand.notes, *bundle.plan.notes, *bundle.capacity.notes]
    return list(dict.fromkeys(found))


def render(bundle: PlanBundle) -> str:
    """The whole page as text; user strings are escaped by the template."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    months = bundle.problem.demand.months
    return environment.get_template("report.html.j2").render(
        b=bundle,
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        span=f"{months[0]} to {months[-1]}",
        headline=headline(bundle),
        banners=banners(bundle),
        cards=cards(bundle),
        residual=f"{bundle.problem.residual_value:.0%}",
        t=tables.everything(bundle),
        fans=charts.demand_fans(bundle),
        fleet=charts.fleet_by_purpose(bundle),
        configurations=charts.configurations(bundle),
        spread=charts.cost_by_scenario(bundle),
        notes=notes(bundle),
        version=metadata.version("fleetcast"),
    )
