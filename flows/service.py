"""The scheduled flows: the monthly plan, the weekly reconciliation, and what-if plans on demand (prefect.yaml).

They add to the plain commands what a server is for: artifacts people can look at, events that automations act on, and
parameters that are checked when they are submitted.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from configs.compute import ComputePolicy
from configs.loading import load_scenario
from configs.schema import Scenario
from flows.ledger import open_ledger
from flows.plan import PLAIN, plan, plan_by
from flows.reconcile import Reconciled, reconcile_files
from flows.show_reconcile import write_reconciliation
from flows.spread import one_server, runner
from flows.steps import Finished

PLAN_SHORT = "fleetcast.plan.shortfall"
PRODUCTION_SHORT = "fleetcast.production.shortfall"
DRIFT = "fleetcast.production.drift"
RUNS_URL = "FLEETCAST_RUNS_URL"


def artifact_key(*parts: str) -> str:
    """A key as Prefect wants it: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def _emit(event: str, scenario: str, payload: dict[str, object]) -> None:
    emit_event(event=event, resource={"prefect.resource.id": f"fleetcast.scenario.{scenario}"}, payload=payload)


def link_artifact(page: Path, key: str) -> None:
    """A link to a page of a run folder: below $FLEETCAST_RUNS_URL where a web server shows the runs, else the file
    itself, which a browser opens only on the machine that has it."""
    base = os.environ.get(RUNS_URL)
    link = page.resolve().as_uri() if base is None else f"{base.rstrip('/')}/{page.parent.name}/{page.name}"
    create_link_artifact(link=link, link_text=page.parent.name, key=key)


def publish_plan(done: Finished) -> None:
    """Tables of cost and purchases, a link to the report, what changed; an event where protected demand is short."""
    plan, name = done.bundle.plan, done.bundle.name
    costs = [
        {"month": one.month, "cash USD": round(one.cash_usd), "idle USD": round(one.idle_usd)} for one in plan.costs
    ]
    bought = [
        {
            "month": p.month,
            "region": p.region,
            "GPU": p.gpu,
            "option": p.option,
            "GPUs": p.gpus,
            "USD/GPU-h": p.usd_per_gpu_h,
        }
        for p in plan.purchases
    ]
    create_table_artifact(table=costs, key=artifact_key(name, "cost"), description=f"Cost of {name} by month")
    create_table_artifact(table=bought, key=artifact_key(name, "purchases"), description=f"Purchases of {name}")
    link_artifact(done.folder / "report.html", artifact_key(name, "report"))
    told = json.loads((done.folder / "changes.json").read_text(encoding="utf-8"))
    lines = "\n".join(f"- {text}" for text in told["changes"]) or "nothing changed"
    create_markdown_artifact(
        markdown=f"Since {told['since'] or 'nothing: the first plan'}\n\n{lines}\n", key=artifact_key(name, "changes")
    )
    if done.bundle.infeasible:
        short, broken = list(done.bundle.unserved), list(done.bundle.broken)
        _emit(PLAN_SHORT, name, {"run": done.folder.name, "series": short, "broken": broken})


def publish_reconciliation(found: Reconciled, folder: Path) -> None:
    """Tables of drift and capacity, a link to the page, proposals to review; events on drift and on hours short."""
    name = found.scenario
    drifts = [
        {
            "series": str(one.key),
            "severity": one.drift.severity,
            "actual / forecast": round(one.drift.ratio, 4),
            "tracking signal": round(one.drift.tracking_signal, 2),
            "by chance": round(one.drift.chance, 3),
        }
        for one in found.errors.series
    ]
    create_table_artifact(table=drifts, key=artifact_key(name, "drift"), description=f"Drift of {name}")
    hours = [
        {
            "LLM": one.llm,
            "month": one.month,
            "short h": one.short_hours,
            "reserve h": one.reserve_hours,
            "hours": one.hours,
        }
        for one in found.capacity
    ]
    create_table_artifact(table=hours, key=artifact_key(name, "capacity"), description=f"Capacity of {name}")
    lines = [f"- `{key}` {one.kind}: {one.evidence}" for key, one in found.proposals.items()]
    create_markdown_artifact(
        markdown="Corrections to review (`fleetcast review ID --accept --by NAME`):\n\n" + ("\n".join(lines) or "none"),
        key=artifact_key(name, "corrections"),
    )
    link_artifact(folder / "reconciliation.html", artifact_key(name, "reconciliation"))
    drifting = [str(one.key) for one in found.errors.series if one.drift.severity == "alarm"]
    if drifting:
        _emit(DRIFT, name, {"run": found.run_id, "series": drifting})
    short = [f"{one.llm} {one.month}" for one in found.capacity if one.short_hours]
    if short:
        _emit(PRODUCTION_SHORT, name, {"run": found.run_id, "short": short})


@flow(name="fleetcast-monthly", timeout_seconds=3600, persist_result=False)
def monthly(config: str | None = None, out: str = "runs", data_folder: str | None = None) -> str:
    """Forecast and plan a scenario (file, embedded name, or None for the default); returns the run folder."""
    done = plan(config, out, data_folder)
    publish_plan(done)
    return str(done.folder)


@flow(name="fleetcast-reconcile", timeout_seconds=1800, persist_result=False)
def reconcile_weekly(
    actuals: str,
    scenario: str | None = None,
    billing: str | None = None,
    goodput: str | None = None,
    out: str = "runs",
) -> str:
    """Reconcile a scenario (None: the one planned last) with files that an export writes; returns the run's id."""
    files = [None if name is None else Path(name) for name in (billing, goodput)]
    found = reconcile_files(open_ledger(), scenario, Path(actuals), *files)
    publish_reconciliation(found, write_reconciliation(found, Path(out)))
    return found.run_id


def _what_if(scenario: Scenario) -> str:
    """A scenario as JSON, under a name of its own: the vintages of the one it was made from are not touched."""
    return scenario.model_copy(update={"name": f"what-if-{scenario.name}"[:100]}).model_dump_json(indent=2)


@contextmanager
def _as_file(scenario: str) -> Iterator[str]:
    """A scenario as a file in this folder: it is read back by the same door as every other (JSON is YAML)."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=".", prefix=".what-if-", encoding="utf-8") as file:
        file.write(scenario)
        file.flush()
        yield file.name


@flow(name="fleetcast-what-if", timeout_seconds=3600, persist_result=False)
def what_if(scenario: Scenario, out: str = "runs", data_folder: str | None = None) -> str:
    """Plan a scenario that is given whole, without touching the vintages of the one it was made from.

    The parameter is the configuration's own schema: a wrong key or value is refused when the run is submitted.
    Relative paths in it are relative to the worker's folder.
    """
    with _as_file(_what_if(scenario)) as name:
        done = plan(name, out, data_folder)
    publish_plan(done)
    return str(done.folder)


def _alone(scenario: str, out: str, data_folder: str | None) -> dict[str, object]:
    """One scenario, given as JSON, planned by plain functions wherever the cluster puts it; what a table says of it."""
    with _as_file(scenario) as name:
        done = plan_by(PLAIN, load_scenario(name), out, data_folder)
    plan = done.bundle.plan
    return {
        "scenario": done.bundle.name,
        "run": done.folder.name,
        "cash USD": round(sum(one.cash_usd for one in plan.costs), 2),
        "short": "; ".join(done.bundle.broken),
    }


# A worker that dies takes its plan with it; the ledger has it whole or not at all, so that it can be made again.
_alone_task = task(name="what-if", cache_policy=NO_CACHE, persist_result=False, retries=2)(_alone)


@flow(name="fleetcast-side-by-side", persist_result=False)
def _side_by_side(scenarios: list[str], out: str, data_folder: str | None) -> list[dict[str, object]]:
    return [one.result() for one in [_alone_task.submit(each, out, data_folder) for each in scenarios]]


@flow(name="fleetcast-what-ifs", timeout_seconds=6 * 3600, persist_result=False)
def what_ifs(
    scenarios: list[Scenario], compute: ComputePolicy | None = None, out: str = "runs", data_folder: str | None = None
) -> list[str]:
    """Plan many scenarios, side by side on a Dask cluster where `compute` says so; returns their run folders' names."""
    given = [_what_if(one) for one in scenarios]
    if compute is None or compute.on == "here":
        rows = _side_by_side(given, out, data_folder)
    else:
        with one_server():
            rows = _side_by_side.with_options(task_runner=runner(compute))(given, out, data_folder)
    create_table_artifact(table=rows, key="what-ifs", description=f"{len(rows)} scenarios")
    return [str(one["run"]) for one in rows]
