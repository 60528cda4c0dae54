"""Corrections that were measured one after the other: what stands of them is what was last measured, and no more."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.ledger.records import Correction, CorrectionLine, PlanCorrections
from reconcile.apply import corrected_forecast, corrected_history
from reconcile.standing import corrected, related, standing
from tests.reconcile.test_corrections import TARGET, forecast, history
from tests.reconcile.test_tally import KEY

VALUES = {
    "level": {"factor": 0.7},
    "quantiles": {"lower": 0.7, "upper": 0.7},
    "lengths": {"input_tokens": 0.7, "output_tokens": 0.7},
    "cache": {"cache_hit": 0.7},
    "goodput": {"goodput": 0.7},
    "margin": {"factor": 0.7},
}


def line(
    number: int,
    values: dict[str, float],
    holds: tuple[str, ...] | None,
    verdict: str = "accepted",
    kind: str = "level",
    target: dict[str, str] | None = None,
) -> CorrectionLine:
    """The number-th proposal, recorded on that day of June and resting on what was seen the day before."""
    until = f"2026-06-{number - 1:02d}T00"
    one = Correction("s", kind, TARGET if target is None else target, values, "2026-06-02T00", until, "seen", holds)
    return CorrectionLine(str(number), one, f"r{number}", f"2026-06-{number:02d}", verdict)


@pytest.mark.parametrize("kind", VALUES)
def test_of_proposals_measured_on_one_plan_the_newest_accepted_stands_alone(kind: str) -> None:
    lines = [line(n, VALUES[kind], (), kind=kind) for n in (2, 3, 4)] + [line(5, VALUES[kind], (), "open", kind)]
    assert [one.id for one in standing(lines, {})] == ["4"]
    told = {one.id: one for one in related(lines, {})}
    assert told["4"].supersedes == ("2", "3")
    assert told["3"].superseded_by == told["2"].superseded_by == ("4",)
    assert told["4"].superseded_by == ()
    assert told["5"].supersedes == ("2", "3", "4")


@pytest.mark.parametrize("kind", VALUES)
def test_one_measured_on_a_plan_made_with_the_older_comes_on_top(kind: str) -> None:
    lines = [line(2, VALUES[kind], (), kind=kind), line(3, VALUES[kind], ("2",), kind=kind)]
    assert [one.id for one in standing(lines, {})] == ["2", "3"]
    assert all(one.supersedes == one.superseded_by == () for one in related(lines, {}))


def test_other_targets_kinds_and_verdicts_are_left_alone() -> None:
    other = {**TARGET, "request_class": "code"}
    lines = [
        line(2, VALUES["level"], ()), line(3, VALUES["level"], (), target=other),
        line(4, VALUES["quantiles"], (), kind="quantiles"), line(5, {"factor": 0.5}, (), "rejected"),
    ]  # fmt: skip
    assert [one.id for one in standing(lines, {})] == ["2", "3", "4"]
    assert all(one.supersedes == one.superseded_by == () for one in related(lines, {}))


def test_what_the_newer_says_nothing_of_stays() -> None:
    lines = [line(2, VALUES["lengths"], (), kind="lengths"), line(3, {"output_tokens": 0.9}, (), kind="lengths")]
    first, second = standing(lines, {})
    assert first.correction.values == {"input_tokens": 0.7}
    assert second.correction.values == {"output_tokens": 0.9}


def test_what_the_newest_holds_stands_though_something_between_took_its_place() -> None:
    """The first is in the plan; the second was measured before that plan and accepted after; the third on that plan."""
    lines = [line(2, {"factor": 0.7}, ()), line(3, {"factor": 0.71}, ()), line(4, {"factor": 0.9}, ("2",))]
    assert [one.id for one in standing(lines, {})] == ["2", "4"]
    told = {one.id: one for one in related(lines, {})}
    assert told["2"].superseded_by == ()
    assert told["3"].superseded_by == ("4",)
    assert told["3"].supersedes == ()


def test_corrections_that_do_not_tell_hold_what_plans_before_them_were_made_with() -> None:
    lines = [line(n, {"factor": 0.7}, None) for n in (2, 3, 5)]
    plans = {"p": PlanCorrections("2026-06-01", frozenset()), "q": PlanCorrections("2026-06-04", frozenset({"2", "3"}))}
    assert [one.id for one in standing(lines[:2], plans)] == ["3"]
    # Plans then used all that was accepted: what was measured on one of them comes on top of all of it.
    assert [one.id for one in standing(lines, plans)] == ["2", "3", "5"]
    assert b"holds" not in lines[0].correction.content()
    for one in (lines[0].correction, line(6, {"factor": 0.7}, ("2",)).correction):
        assert Correction.of(one.content()) == one


def test_what_stands_is_applied_once() -> None:
    lines = [line(n, VALUES["level"], ()) for n in (2, 3, 4)]
    found = corrected_history(history(), [one.correction for one in standing(lines, {})]).frame
    first = found[(found["request_class"] == "chat")].iloc[0]
    assert first["requests"] == pytest.approx(0.7 * 10.0)
    lines = [line(n, VALUES["quantiles"], (), kind="quantiles") for n in (2, 3, 4)]
    told = [one.correction for one in standing(lines, {})]
    assert corrected_forecast(forecast(), told).series[0].hourly[0] == pytest.approx([65.0, 86.0, 100.0, 114.0, 135.0])


@given(st.lists(st.one_of(st.just("reconcile"), st.just("plan"), st.integers(0, 9)), max_size=30))
def test_accepting_the_newest_proposal_always_makes_the_history_right(acts: list[str | int]) -> None:
    """A made world: production did `truth` of the first plan, every plan says the product of what stands, and every
    reconciliation of the newest plan proposes what is missing. A number accepts that proposal."""
    lines: list[CorrectionLine] = []
    said, used = 1.0, frozenset[str]()
    for day, act in enumerate(acts):
        if act == "reconcile":
            truth = 0.7 + 0.01 * (day % 7)
            lines.append(line(2 + len(lines), {"factor": truth / said}, tuple(sorted(used)), "open"))
            newest = truth
        elif act == "plan":
            stand = standing(lines, {})
            said, used = math.prod(one.correction.values["factor"] for one in stand), frozenset(o.id for o in stand)
        elif lines and isinstance(act, int):
            at = act % len(lines)
            lines[at] = line(2 + at, dict(lines[at].correction.values), lines[at].correction.holds)
        if lines and lines[-1].verdict == "accepted":
            stand = standing(lines, {})
            assert math.prod(one.correction.values["factor"] for one in stand) == pytest.approx(newest)


def test_plans_made_with_all_that_is_in_force_are_told_apart() -> None:
    lines = [line(2, VALUES["level"], ()), line(4, VALUES["quantiles"], (), kind="quantiles")]
    plans = {
        "old": PlanCorrections("2026-06-03", frozenset({"2"})),
        "new": PlanCorrections("2026-06-05", frozenset({"2", "4", "7"})),
    }
    found = corrected(lines, [KEY], plans)[KEY]
    assert str(found.until) == "2026-06-03T00"
    assert found.runs == {"new"}
    assert corrected([], [KEY], plans) == {}
