"""Which corrections stand beside each other, and which take the place of an older one. Pure functions.

A correction is a ratio of what was measured to what a plan said. One measured on a plan that was made with an older
correction comes on top of it; one measured on a plan made without it holds all of the miss, and both would be too much.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from data.ledger.records import Correction, CorrectionLine, PlanCorrections
from data.records import SeriesKey
from reconcile.capacity import CapacityScore, worst_month
from reconcile.corrections import applies
from reconcile.fleet import Reconciliation
from reconcile.series import Corrected

Plans = Mapping[str, PlanCorrections]
"""By run id."""


def alike(one: Correction, other: Correction) -> bool:
    """Whether two corrections say something of the same figures."""
    return (one.scenario, one.kind, dict(one.target)) == (other.scenario, other.kind, dict(other.target))


def held(line: CorrectionLine, plans: Plans) -> Collection[str]:
    """Ids of the corrections that what a correction was measured on was made with.

    Of one recorded before that was kept: all that any plan before it was made with.
    """
    if line.correction.holds is not None:
        return line.correction.holds
    return frozenset().union(*(one.ids for one in plans.values() if one.recorded_at < line.recorded_at))


def remaining(lines: Sequence[CorrectionLine], plans: Plans) -> dict[str, frozenset[str]]:
    """The values that stand of each correction once all of `lines` (oldest first) are accepted: id -> names.

    The newest that gives a value stands; an older one stands beside it where all that stand hold it. A value that no
    newer correction gives stays.
    """
    found: dict[str, set[str]] = {line.id: set() for line in lines}
    stands: dict[str, list[CorrectionLine]] = {}
    for line in reversed(lines):
        for name in line.correction.values:
            newer = [one for one in stands.setdefault(name, []) if alike(one.correction, line.correction)]
            if all(line.id in held(one, plans) or _both_used(line, one, newer, plans) for one in newer):
                stands[name].append(line)
                found[line.id].add(name)
    return {key: frozenset(names) for key, names in found.items()}


def _both_used(older: CorrectionLine, one: CorrectionLine, newer: Sequence[CorrectionLine], plans: Plans) -> bool:
    """Whether something measured later rests on a plan that used both, as plans did before corrections told."""
    return one.correction.holds is None and any(
        {older.id, one.id} <= set(held(later, plans)) for later in newer if later.id != one.id
    )


def standing(lines: Sequence[CorrectionLine], plans: Plans) -> tuple[CorrectionLine, ...]:
    """The accepted corrections of `lines` (oldest first) that stand, each with the values of it that do."""
    accepted = [line for line in lines if line.verdict == "accepted"]
    stands = remaining(accepted, plans)
    return tuple(
        line
        if stands[line.id] == line.correction.values.keys()
        else replace(line, correction=replace(line.correction, values=_only(line.correction, stands[line.id])))
        for line in accepted
        if stands[line.id]
    )


def _only(one: Correction, names: frozenset[str]) -> dict[str, float]:
    return {name: value for name, value in one.values.items() if name in names}


def related(lines: Sequence[CorrectionLine], plans: Plans) -> tuple[CorrectionLine, ...]:
    """The lines (oldest first), each with the older ones whose place it takes once it is accepted, and with the
    accepted newer ones that have taken its place, wholly or for some of its values. Rejected ones take no place."""
    stands = remaining([line for line in lines if line.verdict == "accepted"], plans)

    def replaces(newer: CorrectionLine, older: CorrectionLine) -> bool:
        one, other = newer.correction, older.correction
        if "rejected" in (newer.verdict, older.verdict) or not alike(one, other) or older.id in held(newer, plans):
            return False
        shared = one.values.keys() & other.values.keys()
        if newer.verdict == "accepted":
            shared &= stands[newer.id]
            if older.verdict == "accepted":
                shared -= stands[older.id]
        return bool(shared)

    found = []
    for i, line in enumerate(lines):
        below = tuple(one.id for one in lines[:i] if replaces(line, one))
        above = tuple(one.id for one in lines[i + 1 :] if one.verdict == "accepted" and replaces(one, line))
        found.append(replace(line, supersedes=below, superseded_by=above))
    return tuple(found)


def corrected(lines: Sequence[CorrectionLine], keys: Iterable[SeriesKey], plans: Plans) -> dict[SeriesKey, Corrected]:
    """By series: up to when the level and quantile corrections in force saw it, and the plans made with all of them."""
    found: dict[SeriesKey, Corrected] = {}
    told = [line for line in lines if line.correction.kind in ("level", "quantiles")]
    for key in keys:
        mine = [line for line in told if applies(line.correction, asdict(key))]
        if mine:
            ids = {line.id for line in mine}
            found[key] = Corrected(
                max(np.datetime64(line.correction.until, "h") for line in mine),
                frozenset(run for run, plan in plans.items() if ids <= plan.ids),
            )
    return found


def holding(
    one: Correction,
    lines: Sequence[CorrectionLine],
    plans: Plans,
    found: Reconciliation,
    capacity: Sequence[CapacityScore],
    plan_of: Mapping[str, str],
    last: str,
) -> Correction:
    """A proposal that says which corrections alike the plans it was measured on were made with.

    plan_of: month -> run of the plan whose capacity was measured; last: the newest plan's run, whose lengths and
    goodputs were.
    """
    if one.kind in ("level", "quantiles"):
        series = next(each for each in found.series if applies(one, asdict(each.key)))
        runs = [each.run_id for each in series.vintages if each.judged]
    elif one.kind == "margin":
        runs = [plan_of[worst_month([each for each in capacity if applies(one, {"llm": each.llm})]).month]]
    else:
        runs = [last]
    made_with = frozenset.intersection(*(plans[run].ids if run in plans else frozenset() for run in runs))
    return replace(one, holds=tuple(line.id for line in lines if line.id in made_with and alike(line.correction, one)))
