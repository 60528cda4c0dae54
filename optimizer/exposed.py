"""Where a plan breaks the promise to carry the loss of a region, and which series have no such promise."""

from __future__ import annotations

from typing import Any

from data.plan_records import Exposure
from optimizer.extract import TOLERANCE_RPS, number
from optimizer.frame import Frame
from optimizer.merge import Members
from optimizer.short import why


def exposures(frame: Frame, model: Any) -> tuple[Exposure, ...]:
    """Protected load that the loss of a region would leave unserved, by series, month and region at its worst, with the
    limit in the regions left that stops it."""
    if not hasattr(model, "exposed"):
        return ()
    demand, regions = frame.problem.demand, frame.problem.regions
    worst: dict[tuple[int, int, int], tuple[float, int]] = {}
    for (m, r, k, b, _), one in model.exposed.items():
        worst[k, m, r] = max(worst.get((k, m, r), (0.0, b)), (number(one), b))
    found = []
    for (k, m, r), (rps, b) in sorted(worst.items()):
        if rps <= TOLERANCE_RPS:
            continue
        key = demand.series[k]
        left = [frame.sets.pools[p] for p in frame.serving[k] if frame.sets.pools[p].region != regions[r]]
        cause, remedy = why(frame, model, key, left, m, rps)
        found.append(Exposure(key, demand.months[m], regions[r], demand.blocks[b].name, rps, cause, remedy))
    return tuple(found)


def without_failover(frame: Frame, members: Members) -> tuple[str, ...]:
    """Protected series that can run in one region only, in words: the loss of it is not promised to be carried."""
    if not frame.problem.reserves.region_loss:
        return ()
    notes = []
    for k, key in enumerate(frame.problem.demand.series):
        homes = {frame.sets.pools[p].region for p in frame.serving[k]}
        if not frame.protected[k] or len(homes) != 1:
            continue
        (home,) = homes
        tied = set(frame.problem.may_serve[key.region]) == homes
        for one, _ in members[key]:
            if tied:
                notes.append(f"{one} may be served in {home} only: residency leaves it no failover")
            else:
                notes.append(f"{one} can be served in {home} only, where its GPUs are sold: it has no failover")
    return tuple(notes)
