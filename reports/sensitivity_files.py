"""A sensitivity as a folder: a page, JSON, and its pictures one by one."""

from __future__ import annotations

from datetime import date
from importlib import metadata
from pathlib import Path

from data.sensitivity_file import sensitivity_json
from data.sensitivity_records import Sensitivity
from reports import standing
from reports.charts import BLUE, GRID, INK
from reports.layout import lay_out
from reports.sensitivity_charts import sensitivity_pictures
from reports.sensitivity_tables import headline, sensitivity_tables


def write_sensitivity(answer: Sensitivity, folder: Path, today: date) -> None:
    """sensitivity.html, sensitivity.json (which `fleetcast report --sensitivity` reads), and tornado, frontier, run-out
    dates, a fan for each place, and where they were looked for switching values and regrets, as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sensitivity.json").write_text(sensitivity_json(answer), encoding="utf-8")
    made = sensitivity_pictures(answer)
    page = lay_out(
        "sensitivity.html.j2", name=answer.scenario, title=headline(answer), sensitivity=sensitivity_tables(answer),
        sensitivity_pictures=made, standing=standing.of_sensitivity(answer, today).lines,
        version=metadata.version("fleetcast"),
    )  # fmt: skip
    (folder / "sensitivity.html").write_text(page, encoding="utf-8")
    named = {name: made[name] for name in ("tornado", "frontier", "run_out", "switches", "regrets")}
    named |= {f"fan_{i + 1}": one for i, one in enumerate(made["fans"])}
    for name, one in named.items():
        if one is not None:
            # On its own a picture has no page whose ink and grid it could take.
            svg = one.wide
            for token, ink in (("currentColor", INK), ("var(--grid)", GRID), ("var(--blue)", BLUE)):
                svg = svg.replace(token, ink)
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
