"""All files of a run, into a folder."""

from __future__ import annotations

import json
from pathlib import Path

from data import archive
from data.scaling_file import scaling_json
from reports.bundle import PlanBundle
from reports.machine import frames, plan_json
from reports.page import render
from reports.workbook import write_workbook

ARCHIVE = "run.zip"
"""The whole bundle, for `fleetcast report` and `fleetcast whatif`."""
SCALING = "scaling.json"
"""How the pools scale, for `fleetcast emit`; absent where no pool was scaled."""


def write_run_files(bundle: PlanBundle, folder: Path) -> tuple[Path, ...]:
    """The report, plan.json, scaling.json, changes.json, provenance.json, plan.xlsx, one Parquet file a table, and the
    bundle itself.

    Returns what was written.
    """
    written = []

    def text(name: str, content: str) -> None:
        path = folder / name
        path.write_text(content, encoding="utf-8")
        written.append(path)

    text("plan.json", plan_json(bundle))
    text("provenance.json", json.dumps(dict(bundle.provenance), indent=2, sort_keys=True) + "\n")
    changed = {"since": bundle.changes.since or None, "changes": list(bundle.changes.lines)}
    text("changes.json", json.dumps(changed, indent=2) + "\n")
    if bundle.scaling:
        text(SCALING, scaling_json(bundle.scaling, bundle.unscaled))
    for stem, frame in frames(bundle).items():
        path = folder / f"{stem}.parquet"
        frame.to_parquet(path, index=False)
        written.append(path)
    write_workbook(bundle, folder / "plan.xlsx")
    archive.save(bundle, folder / ARCHIVE)
    written += [folder / "plan.xlsx", folder / ARCHIVE]
    text("report.html", render(bundle))
    return tuple(written)
