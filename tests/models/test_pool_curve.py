"""The curve of a pool: its options reach the simulator, its shares are those counted one by one, and they do what they
say."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from data.pool_curve_records import PoolCurve, PoolRules
from data.records import Configuration, LengthSample, SloTarget
from models.curve import Asked
from models.pool_curve import POOL_LOADS, pool_curve, scored_span, simulated
from models.simulator.load import ClassLoad, Mix, draw
from models.simulator.pool import FATES, routing_draws
from tests.models.simulator.oracle import Cost
from tests.models.simulator.pool_oracle import Job, PoolOracle, Replica
from tests.models.test_curve import COST, LENGTHS, LIMITS, RNG, SLO

pytestmark = pytest.mark.slow

ONE = Configuration("llm", "gpu", "bf16", "bf16", 1, "vllm")
OTHERS = LengthSample(
    RNG.integers(200, 900, 300), RNG.integers(20, 120, 300), np.zeros(300, dtype=np.int64), np.ones(300), "given"
)
MIX: Mix = (ClassLoad("chat", 0.5, LENGTHS, SLO), ClassLoad("batch", 0.5, OTHERS, SloTarget(5.0, 0.1, 90.0)))
ASKED = Asked(ONE, COST, LIMITS, MIX, 12.0, "measured", requests=300, seeds=2, pool_requests=250, pool_seeds=2)


@cache
def curve(**rules: object) -> PoolCurve:
    """At most 64 requests are at a replica: one shape to compile."""
    found = pool_curve(ASKED, PoolRules(**{"max_num_seqs": 20, "max_queue": 40} | rules))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_every_rule_reaches_the_simulator_as_a_plain_program_understands_it() -> None:
    rules = PoolRules(
        3, "round_robin", 6, 4, first_token_wait_s=0.4, deadline_s=1.5, retries=2, backoff_s=0.3, urgent=("chat",),
        lost=1, lost_at_s=1.5, back_after_s=1.0,
    )  # fmt: skip
    count = 150
    drawn = draw([MIX], count, 2, 4)
    got, requests, which = simulated(ASKED, rules, drawn, np.array([45.0]))
    plain = Cost(
        list(map(float, COST.tokens)), list(map(float, COST.linear_s[0])), COST.decode_base_s[0],
        COST.decode_per_seq_s[0], COST.decode_per_kv_token_s[0], COST.prefill_base_s[0], COST.prefill_per_token_s[0],
        COST.prefill_per_attention_s[0],
    )  # fmt: skip
    seen = set()
    for lane in range(2):
        came = np.flatnonzero(np.isfinite(requests.arrival_s[lane]))
        jobs = [
            Job(i, float(requests.arrival_s[lane, i]), int(requests.input_tokens[lane, i]), 0,
                int(requests.output_tokens[lane, i]), int(which[lane, i] != 0), 0.4, 1.5)
            for i in came
        ]  # fmt: skip
        down = [(math.inf, math.inf), (math.inf, math.inf), (1.5, 2.5)]
        want = PoolOracle(
            plain, 6, 512, 40_000.0, 16, 4, "round_robin", 2, 0.3, True, True, [Replica(one) for one in down],
            routing_draws(ASKED.seed, 2, count, 3)[lane].tolist(), jobs,
        )  # fmt: skip
        want.run()
        assert [FATES[fate] for fate in got.fate[lane, came]] == [job.fate for job in jobs]
        assert list(got.attempts[lane, came]) == [job.attempts for job in jobs]
        assert (np.delete(got.fate[lane], came) == -1).all(), "who comes when all that is scored is over never comes"
        seen |= {job.fate for job in jobs}
    assert {"served", "rejected", "timed_out"} <= seen


def test_shares_are_those_counted_one_by_one() -> None:
    found = curve(replicas=2, max_queue=3, deadline_s=3.0, retries=1)
    index = POOL_LOADS.index(1.6)
    point = found.points[index]
    count = int(found.method.partition(" x ")[2].split()[0].replace(",", ""))
    drawn = draw([MIX], count, 2, 0)
    loads = np.array([one.offered_rps for one in found.points])
    got, requests, which = simulated(ASKED, found.rules, drawn, loads)
    late = slice(int(0.1 * count), None)
    tally: dict[tuple[int, str], int] = {}
    good = [0, 0]
    for lane in (2 * index, 2 * index + 1):
        for i in range(count)[late]:
            k = int(which[lane, i])
            fate = FATES[got.fate[lane, i]]
            tally[k, fate] = tally.get((k, fate), 0) + 1
            tally[k, "again"] = tally.get((k, "again"), 0) + int(got.attempts[lane, i] > 0)
            tally[k, "all"] = tally.get((k, "all"), 0) + 1
            first, end = got.first_token_s[lane, i], got.end_s[lane, i]
            out, slo = requests.output_tokens[lane, i], MIX[k].slo
            slow = out > 1 and (end - first) / (out - 1) > slo.tpot_s
            good[k] += int(fate == "served" and first - requests.arrival_s[lane, i] <= slo.ttft_s and not slow)
    scored = tally[0, "all"] + tally[1, "all"]
    assert point.rejected > 0
    assert point.retried > 0
    for k, one in enumerate(point.classes):
        assert one.rejected == pytest.approx(tally.get((k, "rejected"), 0) / tally[k, "all"])
        assert one.timed_out == pytest.approx(tally.get((k, "timed_out"), 0) / tally[k, "all"])
        assert one.retried == pytest.approx(tally[k, "again"] / tally[k, "all"])
        assert one.goodput_rps == pytest.approx(point.offered_rps * good[k] / scored)
        assert one.holds == (one.times.within_slo >= MIX[k].slo.percentile / 100)
    assert point.goodput_rps == pytest.approx(sum(one.goodput_rps for one in point.classes))
    unserved = point.rejected + point.timed_out + point.lost
    assert point.served_rps == pytest.approx(point.offered_rps * (1.0 - unserved))


def test_what_goes_first_is_slowed_by_nothing_behind_it() -> None:
    fair, ranked = curve(), curve(urgent=("chat",))
    over = POOL_LOADS.index(1.6)
    chat, batch = ranked.points[over].classes
    assert chat.times.ttft.p50_s < 0.5 * fair.points[over].classes[0].times.ttft.p50_s
    assert batch.times.ttft.p50_s > fair.points[over].classes[1].times.ttft.p50_s
    assert chat.times.ttft.p50_s < 0.5 * batch.times.ttft.p50_s


def test_half_a_pool_lost_carries_half_and_drained_requests_are_not_lost() -> None:
    whole, half = curve(replicas=2), curve(replicas=2, lost=1, lost_at_s=8.0)
    assert half.scored_s == (8.0, 16.0)
    assert half.carries_rps <= 0.7 * whole.carries_rps
    assert max(point.lost for point in half.points) > 0
    drained = curve(replicas=2, lost=1, lost_at_s=8.0, drains=True)
    assert all(point.lost == 0 for point in drained.points)


def test_retries_are_served_later_and_ask_more_than_once() -> None:
    once, again = curve(max_queue=2), curve(max_queue=2, retries=3, backoff_s=0.5)
    over = POOL_LOADS.index(1.15)
    assert again.points[over].rejected < once.points[over].rejected
    assert all(one.attempts > 1.0 for one in again.points[over].classes)
    assert all(one.attempts == 1.0 for one in once.points[over].classes)
    late = zip(again.points[over].classes, once.points[over].classes, strict=True)
    assert all(one.times.ttft.p99_s > other.times.ttft.p99_s for one, other in late)


def test_a_cache_too_small_preempts() -> None:
    tight = replace(ASKED, limits=LIMITS._replace(kv_tokens=np.array([6_000.0])))
    found = pool_curve(tight, PoolRules(2, max_num_seqs=20, max_queue=40))
    assert found is not None
    assert found.points[-1].preemptions > 0.0
    assert curve(replicas=2).points[0].preemptions == 0.0


def test_a_loss_that_would_take_too_many_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="requests a load until the loss is over"):
        pool_curve(ASKED, PoolRules(replicas=4, lost=1, lost_at_s=1e5))
    assert scored_span(PoolRules(replicas=4, lost=1, lost_at_s=10.0, back_after_s=20.0)) == (10.0, 50.0)
