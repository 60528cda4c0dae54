"""A pool replayed at full resolution: every replica is a lane of the plain simulator, and every request is followed.

Requests are dealt out in turn to the replicas that are there, which a balancer that looks at queues betters a little,
or to any of them at random. A replica that dies takes nothing with it for good: what it held comes again to the others,
and its clients have waited since they first asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.curve_records import ClassTimes
from data.records import FloatArray, IntArray, StepCost
from data.replay_records import Situation
from models.simulator.cost import take
from models.simulator.engine import Limits, Requests, simulate
from models.simulator.load import Mix
from models.simulator.percentiles import Times
from models.simulator.verdict import judged

RETRY_S = 1.0
"""After which a client whose replica died asks again."""
BEGINS = 1 / 3
"""Share of the span after which a situation sets in."""
WARM_UP_S = 60.0
"""Not scored: the pool starts empty. At most a tenth of the span."""
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of a pool in order of arrival, [requests]; which is the class's place in the mix."""

    arrival_s: FloatArray
    input_tokens: IntArray
    cached_tokens: IntArray
    output_tokens: IntArray
    which: IntArray

    def some(self, index: IntArray) -> Stream:
        """Some of them."""
        return Stream(
            self.arrival_s[index], self.input_tokens[index], self.cached_tokens[index], self.output_tokens[index],
            self.which[index],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a stream, [requests]: seconds of first token and end, and how many came twice."""

    first_token_s: FloatArray
    end_s: FloatArray
    retried: int


def followed(before: Stream, after: Stream, begins_s: float) -> Stream:
    """A stream up to begins_s, then the part of another that lies beyond BEGINS of its span."""
    from_s = BEGINS * float(after.arrival_s[-1])
    late = after.some(np.flatnonzero(after.arrival_s >= from_s))
    late = replace(late, arrival_s=late.arrival_s + (begins_s - from_s))
    return merged([before.some(np.flatnonzero(before.arrival_s < begins_s)), late])


def answer(
    cost: StepCost, limits: Limits, stream: Stream, replicas: int, lost: int, dies_s: float,
    routing: str = "round_robin",
) -> Answered:  # fmt: skip
    """A pool of like replicas, `lost` of which die at dies_s. cost and limits have one lane; routing: `round_robin`, or
    `random` by a fixed seed.

    Raises ValueError where no replica is left.
    """
    if replicas - lost < 1:
        raise ValueError(f"{replicas} replicas of which {lost} die answer nobody")
    count = len(stream.arrival_s)
    turn = np.arange(count)
    if routing == "random":
        turn = np.random.default_rng(0).integers(0, 1 << 40, count)
    before = stream.arrival_s < dies_s if lost else np.ones(count, dtype=bool)
    # The dead are the first `lost` replicas; the others share what comes afterwards.
    owner = np.where(before, turn % replicas, lost + turn % (replicas - lost))
    first, end = np.full(count, np.nan), np.full(count, np.nan)
    asked = stream.arrival_s.copy()
    retried = 0
    if lost:
        dying = [np.flatnonzero(owner == replica) for replica in range(lost)]
        _run(cost, limits, stream, asked, dying, first, end)
        taken = np.concatenate(dying)
        held = np.sort(taken[~(end[taken] <= dies_s)])
        first[held], end[held] = np.nan, np.nan
        asked[held] = dies_s + RETRY_S
        owner[held] = lost + np.arange(len(held)) % (replicas - lost)
        retried = len(held)
    _run(cost, limits, stream, asked, [np.flatnonzero(owner == r) for r in range(lost, replicas)], first, end)
    return Answered(first, end, retried)


def _run(
    cost: StepCost, limits: Limits, stream: Stream, asked: FloatArray, lanes: list[IntArray], first: FloatArray,
    end: FloatArray,
) -> None:  # fmt: skip
    """Simulates the requests of every lane, and books their times in place."""
    lanes = [mine[np.argsort(asked[mine], kind="stable")] for mine in lanes]
    # Lengths in powers of two, so that few shapes are compiled: one-token requests after all others fill up.
    longest = max(len(mine) for mine in lanes)
    size = 1 << max(longest - 1, 63).bit_length()
    shape = (len(lanes), size)
    after = float(asked.max()) + 1.0
    table = Requests(np.full(shape, after), np.ones(shape, int), np.zeros(shape, int), np.ones(shape, int))
    for row, mine in enumerate(lanes):
        n = len(mine)
        table.arrival_s[row, :n] = asked[mine]
        table.input_tokens[row, :n] = stream.input_tokens[mine]
        table.cached_tokens[row, :n] = stream.cached_tokens[mine]
        table.output_tokens[row, :n] = stream.output_tokens[mine]
    one = np.zeros(len(lanes), dtype=np.int64)
    found = simulate(take(cost, one), table, limits.lanes(one))
    for row, mine in enumerate(lanes):
        first[mine], end[mine] = found.first_token_s[row, : len(mine)], found.end_s[row, : len(mine)]


def judge(
    stream: Stream, answered: Answered, mix: Mix, situation: Situation, begins_s: float
) -> tuple[tuple[ClassTimes, ...], float, str]:
    """Times of every class from the time the situation sets in (or the warm-up ends), the lowest share of requests
    within their SLO in any minute, and what breaks, empty where all SLO percentiles hold."""
    span = float(stream.arrival_s[-1])
    start = begins_s if situation.disturbs else min(WARM_UP_S, 0.1 * span)
    scored = stream.arrival_s >= start
    ttft, e2e = answered.first_token_s - stream.arrival_s, answered.end_s - stream.arrival_s
    tokens = stream.output_tokens - 1
    tpot = np.where(tokens > 0, (answered.end_s - answered.first_token_s) / np.maximum(tokens, 1), np.nan)
    seen = Times(ttft[None, scored], tpot[None, scored], e2e[None, scored])
    classes, broken, within = judged(
        mix, seen, stream.which[None, scored], np.asarray(np.isfinite(seen.e2e_s).all(axis=1))
    )
    return classes, _worst_minute(stream.arrival_s[scored], within[0]), ", ".join(broken)


def _worst_minute(arrival_s: FloatArray, within: np.ndarray) -> float:
    minute = (arrival_s // MINUTE_S).astype(np.int64)
    minute -= minute.min()
    count = np.bincount(minute)
    share = np.bincount(minute, weights=within)[count > 0] / count[count > 0]
    return float(share.min())


def merged(parts: Sequence[Stream]) -> Stream:
    """Several streams as one, in order of arrival."""
    order = np.argsort(np.concatenate([part.arrival_s for part in parts]), kind="stable")
    whole = Stream(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("arrival_s", "input_tokens", "cached_tokens", "output_tokens", "which")
        )
    )
    return whole.some(order)
