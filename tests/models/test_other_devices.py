"""What can be shown of a GPU's answers without one: kernels compile for it, and its rounding cannot move them far."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

import models.sweep as sweep
from tests.models import test_devices
from tests.models.autoscaler.test_run import test_a_steady_load_is_held_by_its_ceiling_and_paid_by_the_hour as scaled
from tests.models.simulator.test_pool import (
    test_one_replica_where_nothing_fails_gives_the_plain_engines_times as pooled,
)
from tests.models.test_sweep import LOADS, POLICY, grid

TOLERANCE = 1e-5
ARITHMETIC_ULP, FUNCTION_ULP = 1.0, 4.0
"""Fused multiply-adds and other orders of sums move an operation by a rounding; CUDA's float functions err by at most 4
units in the last place (powf; CUDA C++ Programming Guide, mathematical functions)."""
FUNCTIONS = {"exp", "exp2", "expm1", "log", "log1p", "pow", "sqrt", "rsqrt", "tanh", "logistic", "integer_pow", "cbrt"}
ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
SUMS = {"reduce_sum", "cumsum", "add_any"}
REDUCED = {"dot_general", "conv_general_dilated", "reduce_precision"}
"""Multiplied in TF32 on NVIDIA's GPUs unless told otherwise: 1e-3, not 1e-7."""


def equations(jaxpr: Jaxpr) -> Iterator[Any]:
    """Every equation, those of inner functions and loops included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(inner, ClosedJaxpr):
                    yield from equations(inner.jaxpr)
                elif isinstance(inner, Jaxpr):
                    yield from equations(inner)


def rounded_elsewhere(closed: ClosedJaxpr, rng: np.random.Generator, inputs: list[Any]) -> list[Any]:
    """The program's outputs where every float operation is off by as much as another device's may be, at random."""
    known: dict[Any, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    known |= dict(zip(closed.jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for equation in closed.jaxpr.eqns:
        values = [read(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in ("jit", "pjit", "closed_call"):
            found = rounded_elsewhere(equation.params["jaxpr"], rng, values)
        else:
            one = equation.primitive.bind(*values, **equation.params)
            found = list(one) if equation.primitive.multiple_results else [one]
            ulp = FUNCTION_ULP if name in FUNCTIONS else ARITHMETIC_ULP if name in SUMS | ARITHMETIC.keys() else 0.0
            if ulp and found[0].dtype == jnp.float32:
                result = np.asarray(found[0], dtype=np.float64)
                off = ulp * 2.0**-23 * rng.uniform(-1.0, 1.0, result.shape)
                if name in ARITHMETIC:  # What needs no rounding is the same everywhere: whole numbers of blocks are.
                    exact = ARITHMETIC[name](*(np.asarray(value, dtype=np.float64) for value in values))
                    off = np.where(exact == result, 0.0, off)
                found = [jnp.asarray((result * (1.0 + off)).astype(np.float32))]
        known.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in closed.jaxpr.outvars]


def swept() -> None:
    rows, cost = grid()
    sweep.evaluate_grid(rows, cost, LOADS, policy=POLICY)
    next(iter(sweep.stream(rows, cost, LOADS, POLICY, 3)))


KERNELS: list[tuple[str, str, Callable[[], object]]] = [
    ("models.sweep", "_all_parts", swept),
    ("models.sweep", "_all_points", swept),
    ("models.sweep", "_parts_from", swept),
    ("models.simulator.engine", "advance", lambda: test_devices.simulated(8)),
    ("models.simulator.engine", "start", lambda: test_devices.simulated(8)),
    ("models.simulator.pool", "run", pooled),
    ("models.autoscaler.run", "run", scaled),
]


@pytest.mark.parametrize(("module", "name", "use"), KERNELS, ids=[f"{m}.{n}" for m, n, _ in KERNELS])
def test_every_kernel_compiles_for_gpus(
    module: str, name: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[Any] = []
    real = getattr(import_module(module), name)

    def noted(*given: Any, **named: Any) -> Any:
        if not traced:
            traced.append(real.trace(*given, **named))
        return real(*given, **named)

    monkeypatch.setattr(import_module(module), name, noted)
    use()
    [program] = traced
    used = {equation.primitive.name for equation in equations(program.jaxpr.jaxpr)}
    assert len(used) > 2
    assert not used & REDUCED
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for platform in ("cuda", "rocm"):
            text = program.lower(lowering_platforms=(platform,)).as_text()
            assert "func.func public @main" in text
            double = "f64" in text
            # Sums over a day of seconds are kept in float64; elsewhere GPUs would pay up to sixty-four times for it.
            assert double == (module == "models.autoscaler.run")


def test_the_rounding_of_another_device_moves_no_figure_of_the_sweep_by_more_than_one_in_100_000() -> None:
    rows, cost = grid()

    def whole(*given: Any) -> Any:
        return sweep._all_points(partial(sweep._all_parts, policy=POLICY)(*given), policy=POLICY)

    closed = jax.make_jaxpr(whole)(rows, cost, LOADS)
    inputs = jax.tree.leaves((rows, cost, LOADS))
    here = jax.device_get(whole(rows, cost, LOADS))
    rng = np.random.default_rng(11)
    worst = 0.0
    for _ in range(5):
        there = sweep.SweepPoints(*(np.asarray(leaf) for leaf in rounded_elsewhere(closed, rng, inputs)))
        near = np.abs(here.overrun - 1.0) < TOLERANCE
        np.testing.assert_array_equal(there.limit[~near], here.limit[~near])
        for name in (
            "tpot_s",
            "ttft_s",
            "output_tokens_per_s",
            "usd_per_million_tokens",
            "joules_per_token",
            "overrun",
        ):
            a, b = getattr(there, name)[~near], getattr(here, name)[~near]
            np.testing.assert_allclose(a, b, rtol=TOLERANCE, err_msg=name)
            worst = max(worst, float(np.max(np.abs(a[b != 0] / b[b != 0] - 1.0))))
    assert worst > 1e-7, "the operations were not shaken"
