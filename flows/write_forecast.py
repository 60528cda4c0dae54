"""The files of a forecast: one HTML page and everything it says as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from configs.traffic import Synthetic
from data.forecast_records import SeriesForecast
from flows.forecast import Run, as_json
from flows.ledger import unique_id
from flows.run_folder import whole_folder
from forecast.explain import in_words
from reports.forecast_page import forecast_page


def warnings(run: Run) -> list[str]:
    """What a reader must know before any number."""
    said = []
    if any(isinstance(one.source, Synthetic) for one in run.loaded.scenario.traffic.series):
        said.append("The traffic is a documented synthetic workload, not a measured one.")
    poor = [str(one.key) for one in run.forecast.series if one.grade == "D"]
    if poor:
        named = ", ".join(poor[:4]) + (f" and {len(poor) - 4} more" if len(poor) > 4 else "")
        said.append(f"Graded D, plan for a quantile and not for the median: {named}.")
    return said


def write_forecast(run: Run, series: Sequence[SeriesForecast], out: Path) -> Path:
    """A folder with forecast.html and forecast.json, whole or not at all; returns it."""
    name = run.loaded.scenario.name
    words = {str(one.key): in_words(one) for one in series}
    title = f"Forecast of {name}"
    page = forecast_page(title, run.history.frame, run.forecast, series, words, warnings(run))
    final = out / unique_id(f"{name}-forecast-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    with whole_folder(final) as scratch:
        (scratch / "forecast.html").write_text(page, encoding="utf-8")
        (scratch / "forecast.json").write_text(as_json(run, list(series)), encoding="utf-8")
    return final
