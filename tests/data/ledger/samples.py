"""Runs made from a number, the same in every process: what was recorded can be compared with what should be there."""

from __future__ import annotations

import numpy as np

from data.ledger.records import HOUR, Actual, Correction, Entry, Run, Vintage
from data.records import SeriesKey

SCENARIO = "sample"
START = np.datetime64("2026-01-05T00", "h")


def key(number: int = 0) -> SeriesKey:
    return SeriesKey("Llama-3.1-8B", f"class-{number}", "us-east")


def vintage(run_id: str, series: int, day: int, days: int = 7) -> Vintage:
    rng = np.random.default_rng([series, day])
    first = START + 24 * day * HOUR
    hourly = np.sort(rng.gamma(5.0, 20.0, (24 * days, 3)), axis=1)
    return Vintage(run_id, key(series), first - HOUR, first, (0.1, 0.5, 0.9), hourly)


def actual(series: int, days: int) -> Actual:
    return Actual(key(series), START, np.random.default_rng(series).gamma(5.0, 20.0, 24 * days))


def sample_run(number: int, name: str | None = None, series: int = 3, bulk_bytes: int = 20_000) -> Run:
    """The number-th weekly run: content shared with its neighbours (catalog) and content of its own."""
    run_id = name or f"run-{number:05d}"
    return Run(
        id=run_id,
        kind="plan",
        scenario=SCENARIO,
        fingerprint=f"{number:012x}",
        issued_from=str(START + 24 * 7 * number * HOUR),
        entries=(
            Entry("catalog", "gpus.yaml", b"the same in every run"),
            Entry("file", "plan.json", np.random.default_rng(number).bytes(bulk_bytes)),
        ),
        vintages=tuple(vintage(run_id, one, 7 * number) for one in range(series)),
        actuals=tuple(actual(one, 7 * (number + 1)) for one in range(series)),
        corrections=(Correction(SCENARIO, "level", {"llm": "x"}, {"factor": 1.0 + number / 1000}, "", "", "sample"),),
    )
