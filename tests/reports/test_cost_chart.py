"""The waterfall of the full cost adds up to the bill, and hangs together."""

from __future__ import annotations

import pytest

from flows import steps
from reports.cost_chart import cost_steps, cost_waterfall
from tests.flows.small import small_made


def test_the_steps_lead_from_nothing_to_the_bill() -> None:
    report = steps.bundle(small_made()).costs
    frame = cost_steps(report)
    between = frame.iloc[:-1]
    assert frame["usd"].iloc[-1] == pytest.approx(sum(line.usd for line in report.lines))
    assert between["start"].tolist() == pytest.approx([0.0, *between["end"].tolist()[:-1]])
    assert between["end"].iloc[-1] == pytest.approx(frame["end"].iloc[-1])
    assert between["kind"].iloc[0] == "serving"
    made = cost_waterfall(report)
    assert made is not None
    assert "full cost" in made.narrow
