"""How far a series can be forecast, why, and what follows: never a confident number where history has none."""

from __future__ import annotations

from data.forecast_records import Accuracy
from data.units import HOURS_PER_WEEK

SOME_MISSING = 0.1
AT_BEST = ((0.75, "C"), (0.5, "B"), (SOME_MISSING, "A"))
"""The best grade that a history can have of which more than that share is unobserved: up to half, hours at random, WAPE
is within 3 % of the whole history's; of four fifths it is 20 % above and largest hours are covered too seldom."""


def grade(
    accuracy: tuple[Accuracy, ...],
    observed_hours: int,
    empty: bool = False,
    declared: bool = False,
    drawn: bool = False,
    missing: float = 0.0,
    silent: int = 0,
) -> tuple[str, str]:
    """A to D, and the reason with its consequence; declared: whether the user gave a level; drawn: whether paths are
    drawn from history itself, because no model forecast its hours; missing: share of history's hours unobserved;
    silent: hours since the last request of a service that stopped."""
    if silent:
        return "D", (
            f"no request for {silent // 24} days: taken as stopped; whether it comes back is not in history, and the "
            "quantiles above the median rest on a stated chance that it does"
        )
    letter, reason = _graded(accuracy, observed_hours, empty, declared, drawn)
    if missing <= SOME_MISSING or not accuracy:
        return letter, reason
    best = next(at_best for share, at_best in AT_BEST if missing > share)
    capped = f", so {best} is the best it can have" if letter < best else ""
    return max(letter, best), (
        f"{reason}; {missing:.0%} of its hours are unobserved{capped}: intervals are as wide as the others leave them"
    )


def _graded(
    accuracy: tuple[Accuracy, ...], observed_hours: int, empty: bool, declared: bool, drawn: bool
) -> tuple[str, str]:
    if empty and declared:
        return "D", "no traffic in history: the level is the one declared, and as sure as it was declared to be"
    if empty:
        return "D", "no traffic in history: nothing to forecast from; give a level of your own (forecast.levels)"
    if observed_hours < HOURS_PER_WEEK and declared:
        return "D", (
            f"only {observed_hours} h of history: the level is the one declared, moved by what little came; its shape "
            "is borrowed where another series has one"
        )
    if observed_hours < HOURS_PER_WEEK:
        return "D", (
            f"only {observed_hours} h of history: no week is visible; its shape is borrowed where another series has "
            f"one, and "
            "the interval rests on a stated prior: give a level of your own (forecast.levels)"
        )
    if not accuracy:
        return "D", "too short for a single backtest window; the interval rests on a stated prior"
    own, naive = accuracy[0], accuracy[1]
    scores = f"WAPE {own.wape:.2f}, seasonal naive {naive.wape:.2f}, over {own.windows} windows"
    if drawn:
        return "D", (
            f"{scores}: hours are not forecastable; quantiles are those of its own past days, at a level widened by "
            f"how its "
            "weeks have moved: plan for a quantile, not for the median"
        )
    if observed_hours < 3 * HOURS_PER_WEEK:
        return "C", f"{scores}; under three weeks: the weekly season rests on one or two weeks, intervals are widened"
    if own.wape > 0.4:
        return "C", f"{scores}: rough; quantiles are wide"
    return ("A" if own.wape <= 0.2 else "B"), scores
