"""All files of a run, into a folder that exists and is empty."""

from __future__ import annotations

import json
from pathlib import Path

from reports.bundle import PlanBundle
from reports.machine import frames, plan_json
from reports.page import render


def write_run_files(bundle: PlanBundle, folder: Path) -> tuple[Path, ...]:
    """report.html, plan.json, provenance.json and one Parquet file a table; returns what was written."""
    written = []

    def text(name: str, content: str) -> None:
        path = folder / name
        path.write_text(content, encoding="utf-8")
        written.append(path)

    text("plan.json", plan_json(bundle))
    text("provenance.json", json.dumps(dict(bundle.provenance), indent=2, sort_keys=True) + "\n")
    for stem, frame in frames(bundle).items():
        path = folder / f"{stem}.parquet"
        frame.to_parquet(path, index=False)
        written.append(path)
    text("report.html", render(bundle))
    return tuple(written)
