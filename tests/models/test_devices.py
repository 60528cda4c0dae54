"""One device, several, or a GPU: the same answers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from data.records import StepCost
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.sweep import SweepPoints, evaluate_grid, stream
from tests.conftest import REPOSITORY
from tests.models.test_sweep import LOADS, POLICY, grid

TOLERANCE = 1e-5


def swept() -> SweepPoints:
    """The grid in chunks that do not divide it, put together."""
    parts = [found for _, found in stream(*grid(), LOADS, POLICY, 3)]
    return SweepPoints(*(np.concatenate([np.asarray(leaf) for leaf in leaves]) for leaves in zip(*parts, strict=True)))


def simulated(lanes: int = 200) -> Outcome:
    """Lanes at different rates, in several groups."""
    rng = np.random.default_rng(3)
    arrival = np.cumsum(rng.exponential(1.0, (lanes, 60)), axis=1) * np.linspace(0.05, 1.0, lanes)[:, None]
    prompt, output = rng.integers(20, 2000, (lanes, 60)), rng.integers(2, 150, (lanes, 60))
    one = np.ones(lanes)
    cost = StepCost(
        np.array([0.0, 512.0, 4096.0]), np.outer(one, [4e-3, 9e-3, 60e-3]), 1e-4 * one, 2e-5 * one, 4e-8 * one,
        1e-4 * one, 1e-6 * one, 1e-9 * one,
    )  # fmt: skip
    limits = Limits(*(np.full(lanes, value) for value in (64, 512, 60_000, 16)))
    return simulate(cost, Requests(arrival, prompt, np.zeros_like(prompt), output), limits)


def on_devices(code: str, count: int, folder: Path) -> dict[str, np.ndarray]:
    """What the code saves as `out` on so many virtual devices."""
    text = f"import jax, numpy as np\nassert len(jax.devices()) == {count}\n" + textwrap.dedent(code)
    text += f"\nnp.savez({str(folder / 'out.npz')!r}, **out)\n"
    variables = dict(
        os.environ, XLA_FLAGS=f"--xla_force_host_platform_device_count={count}", JAX_PLATFORMS="cpu",
        PYTHONPATH=str(REPOSITORY),
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", text], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "out.npz"))


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_the_sweep_uses_all_devices_and_gives_what_one_gives(count: int, tmp_path: Path) -> None:
    code = """
        from tests.models.test_devices import swept
        from tests.models.test_sweep import LOADS, POLICY, grid
        from models.sweep import stream
        _, found = next(iter(stream(*grid(), LOADS, POLICY, 3)))
        out = swept()._asdict() | {"devices": len(found.tpot_s.sharding.device_set)}
    """
    several = on_devices(code, count, tmp_path)
    assert several.pop("devices") == count
    for name, one in swept()._asdict().items():
        np.testing.assert_allclose(several[name], one, rtol=TOLERANCE, err_msg=name)


@pytest.mark.slow
def test_lanes_simulated_over_devices_are_the_lanes_of_one(tmp_path: Path) -> None:
    code = """
        import models.simulator.engine as engine
        from tests.models.test_devices import simulated
        used = set()
        real = engine.advance
        def noting(state, *rest, **named):
            found = real(state, *rest, **named)
            used.update(found[0].clock.devices())
            return found
        engine.advance = noting
        out = {name: one for name, one in simulated()._asdict().items() if one is not None} | {"devices": len(used)}
    """
    several = on_devices(code, 2, tmp_path)
    assert several.pop("devices") == 2
    for name, one in simulated()._asdict().items():
        if one is not None:
            np.testing.assert_array_equal(several[name], one, err_msg=name)


def _cuda() -> Any:
    try:
        return jax.devices("cuda")[0], jax.devices("cpu")[0]
    except RuntimeError as error:
        pytest.skip(f"no CUDA device: {error}")


def test_a_gpu_gives_what_the_cpu_gives() -> None:
    gpu, cpu = _cuda()
    found: dict[str, list[Any]] = {"sweep": [], "simulator": []}
    for device in (gpu, cpu):
        with jax.default_device(device):
            found["sweep"].append(jax.device_get(evaluate_grid(*grid(), LOADS, policy=POLICY)))
            found["simulator"].append(simulated())
    for name, a, b in zip(SweepPoints._fields, *found["sweep"], strict=True):
        np.testing.assert_allclose(a, b, rtol=TOLERANCE, err_msg=name)
    # A tick more or less in one step moves what comes after it: times agree to the simulator's own tolerance.
    for name in ("first_token_s", "end_s"):
        a, b = (getattr(one, name) for one in found["simulator"])
        np.testing.assert_allclose(a, b, rtol=1e-4, err_msg=name)
