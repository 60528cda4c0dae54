"""How many lanes step together: what a device holds, and that no time of any request depends on it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from models.simulator import batch as batches
from models.simulator.batch import ON_CPU, SMALLEST, Batch, batch_of, lane_bytes, on_accelerator
from models.simulator.cost import grid_points, uniform
from models.simulator.engine import simulate
from models.simulator.kernel import start
from tests.models.simulator.test_engine import draw

H100_BYTES = 0.75 * 80e9
"""What XLA takes of an 80 GB card unless told otherwise."""


def test_an_80_gb_card_runs_100_000_lanes_of_1_000_requests_at_once() -> None:
    for ring in (1024, 4096):
        found = on_accelerator(H100_BYTES, 1000, ring, grid_points(8192 + 256))
        assert found.lanes >= 100_000
        assert found.lanes * (1000 + found.phase) < 2**31, "offsets into the log have 32 bits"


def test_lanes_are_fewer_where_requests_are_many_and_memory_little() -> None:
    few, many = (on_accelerator(H100_BYTES, requests, 2048, 512).lanes for requests in (1000, 20_000))
    small = on_accelerator(H100_BYTES / 100, 1000, 2048, 512).lanes
    assert many < few
    assert small < few
    assert on_accelerator(0.0, 1000, 2048, 512).lanes == SMALLEST


@pytest.mark.parametrize("staged", [False, True])
def test_a_lane_takes_the_bytes_of_its_arrays(staged: bool) -> None:
    lanes, requests, ring, phase = 64, 700, 512, 4096
    cost, _, _ = draw(4, lanes, 1)
    grid = uniform(cost, 3000, 1e-6).linear
    held = [*jax.tree.leaves(start(np.ones(lanes, bool), requests=requests, ring=ring, phase=phase, staged=staged))]
    state = sum(one.nbytes for one in held) / lanes
    asked = np.zeros((lanes, requests, 4), dtype=np.int32).nbytes / lanes
    # The scalars of a lane's cost and limits, and of its state, are what is not counted one by one.
    counted = lane_bytes(requests, ring, grid_points(3000), phase, staged)
    assert counted == pytest.approx(grid.nbytes / lanes + asked + 2 * state, rel=0.01)
    assert grid.shape[1] == grid_points(3000)


def test_a_card_is_asked_for_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def card(memory: dict[str, int] | None) -> SimpleNamespace:
        return SimpleNamespace(memory_stats=lambda: memory)

    assert batch_of(1000, 2048, 512) == ON_CPU
    monkeypatch.setattr(batches.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(batches.jax, "local_devices", lambda: [card({"bytes_limit": int(6e10)}), card(None)])
    assert batch_of(1000, 2048, 512) == on_accelerator(batches.UNTOLD_BYTES, 1000, 2048, 512)
    monkeypatch.setattr(batches.jax, "local_devices", lambda: [card({"bytes_limit": int(6e10)})])
    assert batch_of(1000, 2048, 512) == on_accelerator(6e10, 1000, 2048, 512)


@pytest.mark.slow
@pytest.mark.parametrize("staged", [False, True])
def test_every_figure_is_the_same_to_the_bit_however_lanes_are_batched(staged: bool) -> None:
    cost, requests, limits = draw(8, lanes=100, count=60)
    cost = replace(cost, pipeline_stages=1.0 + np.arange(100) % 3 if staged else None)
    limits = limits._replace(token_budget=np.maximum(limits.token_budget, limits.max_num_seqs + 1))
    together = simulate(cost, requests, limits)
    assert together.finished.all()
    # In groups on the host; on the device, whose log is so short that requests run through many phases.
    for batch in (Batch(64, 8192, on_host=True), Batch(128, 64, on_host=False)):
        apart = simulate(cost, requests, limits, batch=batch)
        for name, one in together._asdict().items():
            if one is None:
                continue
            np.testing.assert_array_equal(getattr(apart, name), one, err_msg=name)
