"""A finished plan goes into the ledger: one run, one transaction."""

from __future__ import annotations

import json
import math
import os
import secrets
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.catalog import find_engine, find_gpu, find_llm
from data.frames import KEYS
from data.history import TrafficHistory
from data.ledger.connect import Ledger, connect, sqlite_url
from data.ledger.content import canonical, pack
from data.ledger.records import HOUR, Actual, Entry, Run, Vintage
from data.ledger.store import record
from data.records import SeriesKey
from flows import provenance, steps
from flows.changes import changes
from flows.corrections import InForce
from flows.environment import STATE
from reports.bundle import PlanBundle

URL = "FLEETCAST_LEDGER"


def ledger_url() -> str:
    """$FLEETCAST_LEDGER, or a file in the state folder."""
    return os.environ.get(URL) or sqlite_url(STATE.resolve() / "ledger.sqlite")


def open_ledger() -> Ledger:
    """The ledger of this installation. Raises InputError where it cannot be used."""
    return connect(ledger_url())


def unique_id(name: str) -> str:
    """A run's id: its readable name, and digits that tell two runs of one second apart."""
    return f"{name}-{secrets.token_hex(3)}"


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


def assumptions(bundle: PlanBundle, made: steps.Made) -> list[dict[str, Any]]:
    """What the plan assumed that production can contradict: value, source, and the day it was true where known."""
    policy = made.loaded.scenario
    found = [
        {
            "kind": "price", "name": f"{one.region}/{one.gpu}/{one.option}", "value": one.usd_per_gpu_h,
            "unit": "USD/GPU-h", "as_of": one.source.as_of, "source": one.source.citation,
        }
        for one in bundle.problem.offers
    ]  # fmt: skip
    until = bundle.forecast.issued_from[:10]
    for one in policy.traffic.series:
        sample = made.history.lengths[one.llm, one.request_class]
        mean_input = float((sample.weight * sample.input_tokens).sum())
        for name, value, unit in (
            ("input tokens", mean_input, "tokens/request"),
            ("output tokens", float((sample.weight * sample.output_tokens).sum()), "tokens/request"),
            ("cache hit", float((sample.weight * sample.cached_tokens).sum()) / max(mean_input, 1.0), "share"),
        ):
            found.append(
                {
                    "kind": "mix", "name": f"{one.llm}/{one.request_class}/{name}", "value": value, "unit": unit,
                    "as_of": until, "source": sample.source,
                }
            )  # fmt: skip
    for pool in {(p.configuration, p.operating_rps_per_replica) for p in bundle.plan.pools}:
        row = next(r for r in bundle.capacity.rows if r.configuration == pool[0])
        found.append(
            {
                "kind": "service curve", "name": pool[0].label, "value": pool[1], "unit": "requests/s a replica",
                "as_of": find_gpu(pool[0].gpu).source.as_of, "source": f"{row.method}, step time {row.provenance}",
            }
        )  # fmt: skip
    return sorted(found, key=lambda one: (str(one["kind"]), str(one["name"])))


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
        Entry("assumption", "all", canonical(assumptions(bundle, made))),
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


def record_plan(
    ledger: Ledger,
    made: steps.Made,
    bundle: PlanBundle,
    folder: Path,
    name: str,
    observed: TrafficHistory,
    corrections: InForce,
) -> str:
    """Writes changes.json into the folder, records the plan and returns its id.

    Raises InputError, with nothing recorded, where the ledger cannot take it.
    """
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    told = {line.id: f"{line.correction.kind}: {line.correction.evidence}" for line in corrections.lines}
    changed = changes(ledger, bundle.name, plan, told)
    (folder / "changes.json").write_text(json.dumps(changed, indent=2) + "\n", encoding="utf-8")
    run = plan_run(made, bundle, folder, name, observed)
    record(ledger, run)
    return run.id


def age_days(as_of: str, today: date) -> int | None:
    """Days since the day, month or year `as_of` ended or was; None where it is no date."""
    parts = as_of.split("-")
    if not 1 <= len(parts) <= 3 or not all(part.isdigit() for part in parts):
        return None
    year, month, day = (int(part) for part in [*parts, *["1"] * (3 - len(parts))])
    return (today - date(year, month, day)).days
