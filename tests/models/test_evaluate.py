"""The capacity table: feasibility as data, sane rates, excuses that say what broke."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.evaluation import EvaluationPolicy
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.records import CapacityTable, Configuration, LengthSample, SloTarget
from models.evaluate import evaluate, weighted_quantile

LLMS = ("Llama-3.1-8B", "Qwen3-32B", "Llama-3.1-70B")
GPUS = ("L4", "L40S", "A100-80GB-SXM", "H100-SXM", "H200-SXM", "B200-SXM")


def sample(inputs: int = 1000, outputs: int = 150) -> LengthSample:
    rng = np.random.default_rng(1)
    n = 400
    return LengthSample(
        np.maximum(rng.lognormal(np.log(inputs), 0.5, n), 1).astype(np.int64),
        np.maximum(rng.lognormal(np.log(outputs), 0.5, n), 1).astype(np.int64),
        np.zeros(n, dtype=np.int64),
        np.full(n, 1 / n),
        "test",
    )


def table(slo: SloTarget | None = None, lengths: LengthSample | None = None, **policy: object) -> CapacityTable:
    slo = slo or SloTarget(2.0, 0.06, 95.0)
    chosen = EvaluationPolicy(llms=LLMS, gpus=GPUS, **policy)  # type: ignore[arg-type]
    return evaluate(
        [find_llm(name) for name in LLMS],
        [find_gpu(name) for name in GPUS],
        find_engine("vllm"),
        load_coefficients(),
        chosen,
        {(name, "chat"): lengths or sample() for name in LLMS},
        {"chat": slo},
    )


@pytest.fixture(scope="module")
def default() -> CapacityTable:
    return table()


def test_the_whole_grid_is_there(default: CapacityTable) -> None:
    assert len(default.rows) == 3 * 6 * 3 * 4
    assert len({row.configuration for row in default.rows}) == len(default.rows)


def test_infeasible_rows_carry_an_excuse_and_no_rate(default: CapacityTable) -> None:
    by_limit = {row.excuse.limit for row in default.rows if row.excuse}
    assert {"memory", "precision"} <= by_limit
    for row in default.rows:
        assert (row.knee_rps > 0) == (row.excuse is None)
        assert row.operating_rps == pytest.approx(0.85 * row.knee_rps)
    big = next(
        r for r in default.rows
        if (r.configuration.llm, r.configuration.gpu, r.configuration.precision, r.configuration.tensor_parallel)
        == ("Llama-3.1-70B", "H100-SXM", "bf16", 1)
    )  # fmt: skip
    assert big.excuse is not None
    assert big.excuse.limit == "memory"
    assert big.excuse.needed > 140 > big.excuse.available


def test_feasible_rows_hold_their_slo(default: CapacityTable) -> None:
    for row in default.feasible():
        assert row.ttft_s <= row.slo.ttft_s
        assert row.tpot_s <= row.slo.tpot_s
        assert row.max_concurrency >= 1


def test_a_tighter_slo_never_carries_more(default: CapacityTable) -> None:
    tight = table(SloTarget(0.5, 0.03, 99.0))
    for loose_row, tight_row in zip(default.rows, tight.rows, strict=True):
        assert tight_row.knee_rps <= loose_row.knee_rps * 1.0001


def test_longer_requests_never_carry_more(default: CapacityTable) -> None:
    longer = table(lengths=sample(3000, 400))
    for short_row, long_row in zip(default.rows, longer.rows, strict=True):
        assert long_row.knee_rps <= short_row.knee_rps * 1.0001


def test_an_impossible_slo_excuses_everything() -> None:
    assert table(SloTarget(1e-4, 1e-5, 99.0)).feasible() == ()


def test_the_excuse_names_the_limit_that_binds() -> None:
    """TTFT and TPOT hold, the time to the end does not: 150 tokens of 10 ms or more never end in a second."""
    excused = [row for row in table(SloTarget(60.0, 1.0, 95.0, e2e_s=0.2)).rows if row.excuse is not None]
    ended = [row.excuse for row in excused if row.excuse is not None and row.excuse.limit == "end to end"]
    assert len(ended) > 20
    assert all(one.available == 0.2 < one.needed < 60.0 for one in ended)


def test_goodput_stays_under_the_memory_roofline(default: CapacityTable) -> None:
    """No configuration emits tokens faster than its weights could be read once a step for its whole batch."""
    for row in default.feasible():
        gpu = find_gpu(row.configuration.gpu)
        step_s = row.weight_bytes_per_gpu / gpu.memory_bandwidth_bytes_per_s
        most = row.configuration.max_num_seqs / step_s
        assert row.output_tokens_per_s < most


def test_weighted_quantile_is_the_plain_one_for_equal_weights() -> None:
    values = np.arange(1.0, 101.0)
    assert weighted_quantile(values, np.ones(100), 0.5) == 50.0
    assert weighted_quantile(values[::-1].copy(), np.ones(100), 0.99) == 99.0


def test_every_limit_counts_at_its_own_percentile() -> None:
    """The estimate moves with the percentile of the limit that binds, and with no other; spelling out the default
    changes nothing."""

    def knees(slo: SloTarget) -> dict[Configuration, float]:
        return {row.configuration: row.knee_rps for row in table(slo).rows}

    plain = SloTarget(0.6, 10.0, 95.0)
    assert knees(plain) == knees(SloTarget(0.6, 10.0, 50.0, None, 95.0, 95.0, 50.0))
    base, looser, other = (
        knees(plain),
        knees(replace(plain, ttft_percentile=60.0)),
        knees(replace(plain, e2e_percentile=60.0)),
    )
    serving = [one for one, rps in base.items() if rps > 0]
    assert all(looser[one] >= base[one] for one in serving)
    assert sum(looser[one] > 1.02 * base[one] for one in serving) > 5
    assert other == base, "no end-to-end limit is stated"
    ended = SloTarget(60.0, 10.0, 95.0, 8.0)
    strict, loose = knees(ended), knees(replace(ended, e2e_percentile=60.0))
    assert sum(loose[one] > 1.02 * strict[one] for one in serving) > 5
