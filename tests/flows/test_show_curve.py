"""What the terminal and the JSON of `fleetcast curve` say at the operating point."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from data.curve_records import AdmissionLimits, ClassTimes, CurvePoint, Percentile3, ScalingSignal, ServiceCurve
from data.records import SloTarget
from flows.curve import CurveAnswer, curve_json, show_curve
from tests.optimizer.factory import capacity

TIMES = ClassTimes("chat", Percentile3(0.2, 0.5, 0.9), Percentile3(0.02, 0.04, 0.05), Percentile3(3, 5, 9), 0.987)
AT = CurvePoint(6.8, 6.7, 6.6, 0.011, 0.002, 1.25, 23.4, 0.41, 0.0, 0.78, 1.0, (TIMES,))
ROW = capacity("H100-SXM", 6.8)
CURVE = ServiceCurve(
    ROW.configuration, {"chat": SloTarget(2.0, 0.06, 95.0)}, {"chat": 1.0}, 8.0, 0.02, "TTFT", 6.8,
    (replace(AT, offered_rps=4.0),), AdmissionLimits(64, 16, 80, 90_000, 4.0), 6.5, 0.01, 300.0,
    (ScalingSignal("waiting", "requests", 2.0, 9.0, 3.0),), (), "simulated", "fitted", AT,
)  # fmt: skip


def told(curve: ServiceCurve) -> str:
    console = Console(file=io.StringIO(), width=300)
    show_curve(console, curve)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_operating_point_is_told_with_utilisation_queue_and_who_is_turned_away() -> None:
    said = told(CURVE)
    assert "At that load busy 78%, 1.2 waiting, 23.4 running, KV 41%; " in said
    assert "under the limits below rejected 1.1%, gave up 0.2%, in SLO chat 98.7%" in said
    at = json.loads(curve_json(CurveAnswer(CURVE, ROW)))["at_operating"]
    assert (at["offered_rps"], at["utilisation"], at["waiting"]) == (6.8, 0.78, 1.25)
    assert (at["rejected"], at["timed_out"]) == (0.011, 0.002)


def test_a_curve_of_an_older_run_says_nothing_of_it() -> None:
    assert "busy" not in told(replace(CURVE, at_operating=None))
