"""The HTML page: words and numbers chosen here, laid out in templates/report.html.j2."""

from __future__ import annotations

from datetime import date
from importlib import metadata

from reports import charts, decision, fleet_tables, scaling_page, standing, tables
from reports.answers import answers
from reports.bundle import PlanBundle
from reports.capacity_chart import capacity_against_demand
from reports.cost_chart import cost_waterfall
from reports.cost_tables import cost_tables
from reports.curve_pictures import curve_pictures
from reports.layout import lay_out
from reports.sensitivity_charts import sensitivity_pictures
from reports.sensitivity_tables import sensitivity_tables
from reports.tables import usd

WHY = "why: "
"""Begins the reasons among the lines of a bundle's changes."""
SHOWN = 8
"""Lines of the decision on the first screen; the rest is folded."""


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
    short = "".join(f"; {text}" for text in bundle.broken)
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
    if bundle.broken:
        found.append(f"The plan breaks a promise to protected classes: {'; '.join(bundle.broken)}.")
    budget = bundle.problem.budget_usd_per_month
    over = [] if budget is None else [one for one in bundle.plan.costs if one.cash_usd > budget * (1 + 1e-6)]
    if over and budget is not None:
        most = max(one.cash_usd - budget for one in over)
        found.append(
            f"Expected cash of {', '.join(one.month for one in over)} passes the budget of {usd(budget)} USD a month, "
            f"by at most {usd(most)}: the plan holds commitments and hours to it, not the start of pools."
        )
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
    """Label, figure and one line of context: what the meeting asks first."""
    plan = bundle.plan
    if not plan.costs:
        return [("Status", plan.stats.status, plan.stats.termination)]
    return [cost_card(bundle), risk_card(bundle), order_card(bundle), run_out_card(bundle), replay_card(bundle)]


def cost_card(bundle: PlanBundle) -> tuple[str, str, str]:
    """The horizon's cash at P50, with P90 and P95, against the budget; of a few scenarios these may be one figure, so
    that the P95 of many fresh ones stands beside them."""
    found, over = decision.cost_quantiles(bundle), decision.over_budget(bundle)
    budget = bundle.problem.budget_usd_per_month
    against = "no budget declared"
    if budget is not None and over is not None:
        against = f"budget {usd(budget * len(bundle.plan.costs))}, passed with a chance of {over:.0%}"
    detail = f"P90 {usd(found['P90'])}, P95 {usd(found['P95'])}, expected {usd(found['expected'])}"
    detail += f" over {len(bundle.problem.demand.probabilities)} scenarios"
    fresh = bundle.plan.sample
    if fresh is not None:
        detail += f"; P95 of {fresh.scenarios:,} fresh ones {usd(fresh.p95_usd)}"
    detail += f"; {against}"
    return ("Cash of the horizon, P50", f"{usd(found['P50'])} USD", detail)


def risk_card(bundle: PlanBundle) -> tuple[str, str, str]:
    """How likely the peak passes the steady capacity, and the reserves too."""
    beyond_steady, beyond_all = decision.shortfall_risk(bundle)
    if bundle.unserved:
        return ("Risk of shortfall", "certain", "; ".join(bundle.broken))
    detail = f"of the demand scenarios pass all capacity at their peak; {beyond_steady:.0%} need a reserve"
    return ("Risk of shortfall", f"{beyond_all:.0%}", "; ".join([detail, *bundle.broken]))


def order_card(bundle: PlanBundle) -> tuple[str, str, str]:
    """The first deadline."""
    due = [one for one in decision.decisions(bundle) if one.action == "buy now"]
    if not due:
        return ("First order due", "none", "nothing has to be ordered before the next plan")
    first = min(due, key=lambda one: one.order_by)
    left = decision.days_left(first.order_by, str(bundle.provenance["begun"]))
    return ("First order due", first.order_by, f"{left}: {first.gpus:,} {first.gpu} in {first.region}, {first.option}")


def run_out_card(bundle: PlanBundle) -> tuple[str, str, str]:
    """Which commitment or quota runs out first."""
    outs = sorted(bundle.plan.procurement.run_outs, key=lambda one: one.month)
    if not outs:
        return ("Runs out first", "nothing", "no quota or held commitment at this growth")
    first = outs[0]
    more = f"; {len(outs) - 1} more below" if len(outs) > 1 else ""
    return ("Runs out first", first.month, f"{fleet_tables.run_out_words(first)}{more}")


def replay_card(bundle: PlanBundle) -> tuple[str, str, str]:
    """Whether the planned pools hold their SLO when they are simulated at their peak."""
    rows, again = bundle.replay.rows, bundle.replay.rounds
    good = sum(row.holds for row in rows)
    after = f" after {len(bundle.replay.deratings)} deratings" if again else ""
    return ("Replay", "holds" if bundle.replay.holds else "misses", f"{good} of {len(rows)} cases within SLO{after}")


def changed(bundle: PlanBundle) -> tuple[list[str], list[str]]:
    """What changed since the plan before, and why."""
    told = bundle.changes.lines
    reasons = [one.removeprefix(WHY) for one in told if one.startswith(WHY)]
    return [one for one in told if not one.startswith(WHY)], reasons


def since(bundle: PlanBundle) -> str:
    """The first change since the plan before and its first reason, for the top of the page; empty for a first plan."""
    what, why = changed(bundle)
    if not bundle.changes.since:
        return ""
    if not what:
        return "Nothing changed since the plan before."
    return f"Since the plan before: {what[0]}{f'; {why[0]}' if why else ''}."


def notes(bundle: PlanBundle) -> list[str]:
    """Every assumption, repair and policy in words, once."""
    found = [f"{note.where}: {note.text}" for note in bundle.history.notes]
    found += [*bundle.forecast.notes, *bundle.problem.demand.notes, *bundle.plan.notes, *bundle.capacity.notes]
    return list(dict.fromkeys(found))


def render(bundle: PlanBundle) -> str:
    """The whole page as text; user strings are escaped by the template."""
    months = bundle.problem.demand.months
    answer = bundle.sensitivity
    begun, decided = str(bundle.provenance["begun"]), tables.decisions(bundle)
    return lay_out(
        "report.html.j2",
        b=bundle,
        span=f"{months[0]} to {months[-1]}",
        begun=begun,
        headline=headline(bundle),
        since=since(bundle),
        changed=changed(bundle),
        banners=banners(bundle),
        cards=cards(bundle),
        decisions=tables.without_empty(tables.DECIDE, decided[:SHOWN], (4, 5, 6, 9)),
        undecided=tables.without_empty(tables.DECIDE, decided[SHOWN:], (4, 5, 6, 9)),
        answers=answers(bundle),
        residual=f"{bundle.problem.residual_value:.0%}",
        t=tables.everything(bundle),
        fans=charts.demand_fans(bundle),
        against=capacity_against_demand(bundle),
        fleet=charts.fleet_by_purpose(bundle),
        configurations=charts.configurations(bundle),
        curves=curve_pictures(bundle.curves),
        scaling=scaling_page.page(bundle.scaling),
        unscaled=bundle.unscaled,
        thresholds=fleet_tables.thresholds(bundle),
        waterfall=cost_waterfall(bundle.costs),
        cost=cost_tables(bundle.costs),
        standing=standing.of_plan(bundle, date.fromisoformat(begun[:10])).lines,
        sensitivity=None if answer is None else sensitivity_tables(answer),
        sensitivity_pictures=None if answer is None else sensitivity_pictures(answer),
        spread=charts.cost_by_scenario(bundle),
        notes=notes(bundle),
        version=metadata.version("fleetcast"),
    )
