"""A finished plan goes into the ledger: one run, one transaction."""

from __future__ import annotations

import math
import os
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.catalog import find_engine, find_gpu, find_llm
from data.forecast_records import TenantForecast
from data.frames import KEYS
from data.history import TrafficHistory
from data.ledger.connect import Ledger, connect, sqlite_url
from data.ledger.content import canonical, pack
from data.ledger.read import runs
from data.ledger.records import HOUR, Actual, Entry, Run, Vintage
from data.ledger.store import record
from data.records import SeriesKey
from flows import provenance, steps
from flows.changes import changes
from flows.corrections import InForce
from flows.environment import STATE
from reports.assumptions import assumptions
from reports.bundle import PlanBundle
from reports.machine import plan_document

URL = "FLEETCAST_LEDGER"


def ledger_url() -> str:
    """$FLEETCAST_LEDGER, or a file in the state folder."""
    return os.environ.get(URL) or sqlite_url(STATE.resolve() / "ledger.sqlite")


def open_ledger() -> Ledger:
    """The ledger of this installation. Raises InputError where it cannot be used."""
    return connect(ledger_url())


def unique_id(name: str) -> str:
    """A run's id, which is a folder's name too: its readable name, and digits that tell two runs of one second apart.
    Names may hold slashes and colons (team/chat:v1): folders may not."""
    return f"{name.replace('/', '-').replace(':', '-')}-{secrets.token_hex(3)}"


def plain(value: Any) -> Any:
    """A value that JSON can hold: what is not a finite number becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def code_version() -> bytes:
    """Versions of Python and packages, and one hash over the product's own source."""
    return canonical(provenance.versions() | {"source_sha256": provenance.source_sha256()})


def vintages(run_id: str, made: steps.Made) -> tuple[Vintage, ...]:
    """The forecast of every series as the ledger keeps it."""
    issued = np.datetime64(made.forecast.issued_from.rstrip("Z"), "h")
    return tuple(
        Vintage(
            run_id,
            one.key,
            issued,
            one.hours[0].astype("datetime64[h]"),
            one.levels,
            one.hourly,
            one.months,
            one.monthly_total,
            one.monthly_peak_hour,
            one.method,
        )
        for one in made.forecast.series
    )


def actuals(history: TrafficHistory) -> tuple[Actual, ...]:
    """The requests of a history, series by series."""
    found = []
    for name, one in history.frame.groupby(KEYS):
        hours = pd.DatetimeIndex(one["ts"]).tz_convert(None).to_numpy().astype("datetime64[h]")
        if (np.diff(hours) != HOUR).any():
            raise ValueError(f"{name}: history is complete by contract")
        found.append(Actual(SeriesKey(*map(str, name)), hours[0], one["requests"].to_numpy(dtype=np.float64)))
    return tuple(found)


def tenant_line(one: TenantForecast) -> dict[str, Any]:
    """A tenant's forecast as plain data."""
    return asdict(one) | {"monthly_total": one.monthly_total.tolist()}


def entries(made: steps.Made, bundle: PlanBundle, folder: Path) -> tuple[Entry, ...]:
    """Everything that made the plan, and everything it made."""
    policy = made.loaded.scenario
    catalog = Path(provenance.__file__).parent.parent / "data" / "catalog"
    demand = bundle.problem.demand
    found = [
        Entry("config", made.loaded.file.name, made.loaded.file.read_bytes()),
        Entry("config", "effective", canonical(policy.model_dump(mode="json"))),
        Entry("code", "versions", code_version()),
        Entry("price", "offers", canonical([asdict(one) for one in bundle.problem.offers])),
        Entry("assumption", "all", canonical(assumptions(bundle))),
        Entry("service_curve", "capacity", canonical(plain([asdict(one) for one in bundle.capacity.rows]))),
        Entry(
            "scenarios",
            "demand",
            pack(
                {
                    "series": [asdict(key) for key in demand.series],
                    "months": list(demand.months),
                    "blocks": [asdict(block) for block in demand.blocks],
                },
                {"rps": demand.rps, "probabilities": demand.probabilities},
            ),
        ),
        Entry("engine", policy.evaluate.engine, canonical(asdict(find_engine(policy.evaluate.engine)))),
    ]
    if made.forecast.tenants:
        found.append(Entry("tenants", "forecast", canonical([tenant_line(one) for one in made.forecast.tenants])))
    found += [Entry("input", name, canonical({"sha256": key})) for name, key in made.history.inputs.items()]
    found += [Entry("catalog", path.name, path.read_bytes()) for path in sorted(catalog.glob("*.yaml"))]
    named = zip(policy.evaluate.calibration, steps.calibration_files(policy, made.loaded.base), strict=True)
    found += [Entry("catalog", f"calibration/{name}", path.read_bytes()) for name, path in named]
    found += [Entry("llm", name, canonical(asdict(find_llm(name)))) for name in policy.evaluate.llms]
    found += [Entry("gpu", name, canonical(asdict(find_gpu(name)))) for name in policy.evaluate.gpus]
    found += [
        Entry("file", path.relative_to(folder).as_posix(), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return tuple(found)


def plan_run(made: steps.Made, bundle: PlanBundle, folder: Path, name: str, observed: TrafficHistory) -> Run:
    """A plan as a run of the ledger; `folder` holds its written files, `name` is both its folder and its id.

    observed: the history before any correction, which is what happened.
    """
    return Run(
        id=name,
        kind="plan",
        scenario=made.loaded.scenario.name,
        fingerprint=str(bundle.provenance["fingerprint"]),
        issued_from=made.forecast.issued_from,
        entries=entries(made, bundle, folder),
        vintages=vintages(name, made),
        actuals=actuals(observed),
    )


def since_the_last(ledger: Ledger, bundle: PlanBundle, corrections: InForce) -> PlanBundle:
    """The bundle with what changed since the plan before it, and when that was last reconciled."""
    told = {line.id: f"{line.correction.kind}: {line.correction.evidence}" for line in corrections.lines}
    reconciled = runs(ledger, bundle.name, "reconcile")
    return replace(
        bundle,
        changes=changes(ledger, bundle.name, plan_document(bundle), told, bundle.scenario.model_dump(mode="json")),
        reconciled=reconciled[-1].recorded_at[:10] if reconciled else "",
    )


def record_plan(
    ledger: Ledger,
    made: steps.Made,
    bundle: PlanBundle,
    folder: Path,
    name: str,
    observed: TrafficHistory,
) -> str:
    """Records the plan and returns its id.

    Raises InputError, with nothing recorded, where the ledger cannot take it.
    """
    run = plan_run(made, bundle, folder, name, observed)
    record(ledger, run)
    return run.id
