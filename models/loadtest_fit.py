"""Step-time coefficients from load tests: the simulator is run at each point's own load until it reproduces the point.

Four factors are fitted: what software versions, hosts and front-ends change and data sheets do not tell. Log-normal
priors keep few points from fitting nonsense; residuals are logarithms, so that milliseconds and seconds weigh alike;
Huber's loss keeps one odd percentile from deciding. Damped Gauss-Newton steps; all trials of a step, and the fits that
each leave one point out, are simulated side by side (Nocedal and Wright, Numerical Optimization, 2nd ed., ch. 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import jax.numpy as jnp
import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.engine_limits import batch_limits
from data.loadtests.records import LoadPoint
from data.records import Configuration, Engine, FloatArray, Gpu, Llm, StepCost
from models.loadtest_checks import sequence_limit
from models.loadtest_coefficients import Factors, corrected, correction
from models.loadtest_score import errors_of, verdict_of
from models.loadtest_simulate import Load, Prediction, load_of, run
from models.memory import kv_bytes, kv_capacity_tokens, memory
from models.rows import build_rows
from models.simulator.engine import Limits, engine_limits
from models.simulator.knee import PRESSURE
from models.step_cost import step_cost

COEFFICIENTS = ("compute", "bandwidth", "overhead", "request_s")
PRIOR_MEAN = np.array([1.0, 1.0, 1.0, 5e-3])
PRIOR_SD = np.array([0.15, 0.10, 0.70, 1.0])
"""Of the logarithms. Assumptions (2026-11): kernels within 15 % and 10 %; fixed costs within a factor of 2 (engine
versions); a request's way in and out 5 ms within a factor of 3."""
NOISE = {"ttft": (0.15, 0.15, 0.20, 0.25, 0.35), "tpot": (0.05, 0.05, 0.06, 0.08, 0.12)}
"""Relative repeatability of each statistic. Assumption (2026-11); a family's statistics count as one observation."""
HUBER = 2.0
STEP = 0.06
DAMPING = (0.03, 0.3, 3.0, 30.0, 300.0)
ROUNDS = 8
FOLD_ROUNDS = 3
"""Fits without a point start from the fit with all of them."""
MOST_FOLDS = 12
MOST_LANES = 512
"""Simulated at once: bounds memory (lanes times requests and iterations)."""
IDENTIFIED = 0.8
"""A posterior narrower than this share of its prior counts as identified."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What was tested, as far as the result files do not say."""

    configuration: Configuration
    llm: Llm
    gpu: Gpu
    engine: Engine
    catalog: CoefficientCatalog
    replicas: int = 1
    cached_tokens: int = 0
    """Prompt tokens of a request that the prefix cache holds."""


@dataclass(frozen=True, slots=True)
class LoadTestFit:
    """Fitted factors, and the service curve before, after, and with each point left out of its own fit.

    before, after, held_out: predicted seconds [points, METRICS, STATISTICS]; measured likewise, NaN where unreported.
    sd is that of the logarithms. Errors are mean absolute relative errors over points of the median (the mean where no
    median is reported); held-out ones NaN for a single point.
    """

    points: tuple[LoadPoint, ...]
    factors: Factors
    sd: FloatArray
    identified: tuple[str, ...]
    measured: FloatArray
    before: FloatArray
    after: FloatArray
    held_out: FloatArray
    served_rps: FloatArray
    """Requests/s that were served, [measured, before, after; points]."""
    errors: Mapping[str, Mapping[str, float]]
    max_num_seqs: int
    folds: int
    verdict: str
    notes: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether the points fit together well enough to correct anything."""
        return not self.verdict.startswith("poor")


def fit_load_tests(setup: Setup, points: Sequence[LoadPoint], seed: int = 0) -> LoadTestFit:
    """Fit the factors to the points of one configuration (models.loadtest_checks.usable makes them fit to be fitted).

    Raises ValueError for no points.
    """
    if not points:
        raise ValueError("a fit needs at least one usable point")
    load = load_of(points, setup.replicas, setup.cached_tokens, seed)
    limits, notes = _limits(setup, points)
    noise = _noise(load.measured)
    problem = _Problem(setup, load, limits, noise, np.ones((1, len(points))))
    theta, after = _descend(problem, np.zeros((1, len(COEFFICIENTS))), ROUNDS)
    _, _, curvature = _normal(*problem.linear(theta, after), problem.weights)
    width = np.sqrt(np.diag(np.linalg.inv(curvature[0])))
    folds = min(len(points), MOST_FOLDS) if len(points) > 1 else 0
    held = np.full_like(load.measured, np.nan)
    if folds:
        left_out = np.arange(len(points))[None, :] % folds == np.arange(folds)[:, None]
        without = replace(problem, weights=np.where(left_out, 0.0, 1.0))
        _, found = _descend(without, np.repeat(theta, folds, axis=0), FOLD_ROUNDS)
        for fold in range(folds):
            held[fold::folds] = found[fold, fold::folds]
    both = problem.simulated(np.concatenate([np.zeros((1, len(COEFFICIENTS))), theta]))
    full = [p.label for p, share in zip(points, both.pressure[1], strict=True) if share > PRESSURE]
    if full:
        notes.append(f"the KV cache overflows at {', '.join(full)}: engines preempt there, the model does not")
    before = both.seconds[0]
    errors = {
        "before": errors_of(before, load.measured),
        "after": errors_of(after[0], load.measured),
        "held_out": errors_of(held, load.measured),
    }
    identified = tuple(name for name, w in zip(COEFFICIENTS, width, strict=True) if w < IDENTIFIED)
    return LoadTestFit(
        points=tuple(points),
        factors=_factors(theta[0]),
        sd=width * PRIOR_SD,
        identified=identified,
        measured=load.measured,
        before=before,
        after=after[0],
        held_out=held,
        served_rps=np.stack([np.array([p.achieved_rps for p in points]), *(both.served_rps * setup.replicas)]),
        errors=errors,
        max_num_seqs=int(limits.max_num_seqs[0]),
        folds=folds,
        verdict=verdict_of(errors, COEFFICIENTS, identified, theta[0], folds),
        notes=tuple(notes),
    )


def _factors(theta: FloatArray) -> Factors:
    """Factors of a point in units of the prior."""
    return Factors(*(float(v) for v in PRIOR_MEAN * np.exp(theta * PRIOR_SD)))


def _limits(setup: Setup, points: Sequence[LoadPoint]) -> tuple[Limits, list[str]]:
    """Engine limits of every point: as configured, except for a number of sequences that the test shows to be lower."""
    one, engine = setup.configuration, setup.engine
    notes = []
    seqs, budget = batch_limits(engine, setup.gpu, one.max_num_seqs, one.max_num_batched_tokens)
    if not one.max_num_seqs:
        shown = sequence_limit(points, budget)
        if shown < 0.9 * seqs * setup.replicas:
            seqs = max(round(shown / setup.replicas), 1)
            notes.append(f"past saturation a replica ran {seqs} sequences at once: taken as its limit")
    rows, _ = build_rows([one], {setup.llm.name: setup.llm}, {setup.gpu.name: setup.gpu}, engine, setup.catalog)
    pool = memory(rows, engine, engine.gpu_memory_utilization, 0.0, budget, seqs).pool
    block = engine.kv_block_tokens
    longest = max(p.input_tokens.mean + p.output_tokens.mean for p in points)
    # At each point's own context: windows and state make a token of a long sequence cheaper than one of a short one.
    context = np.array([[p.input_tokens.mean + p.output_tokens.mean / 2.0 for p in points]], dtype=np.float32)
    fits = np.asarray(kv_capacity_tokens(rows, pool, jnp.asarray(context), block), dtype=np.float64)[0]
    if float(pool[0]) < float(kv_bytes(rows, jnp.full((1, 1), longest, jnp.float32), block)[0, 0]):
        notes.append("by the memory model not even one request fits; the test ran, so KV capacity is not limited here")
        fits = np.full_like(fits, np.inf)
    # What fits as one long sequence may be more tokens than the pool holds in mean ones.
    fits = np.maximum(fits, longest)
    n = len(points)
    return engine_limits(engine, np.full(n, seqs), budget, fits), notes


def _noise(measured: FloatArray) -> FloatArray:
    """Standard deviation of each log residual, [points, 2, STATISTICS]; infinite where nothing was measured."""
    sigma = np.array([NOISE["ttft"], NOISE["tpot"]])[None]
    seen = ~np.isnan(measured[:, :2])
    share = np.sqrt(np.maximum(seen.sum(axis=2, keepdims=True), 1))
    return np.where(seen, sigma * share, np.inf)


@dataclass(frozen=True, slots=True)
class _Problem:
    """Everything the descent needs; parameters are log factors in units of the prior, shape [fits, 4]."""

    setup: Setup
    load: Load
    limits: Limits
    noise: FloatArray
    weights: FloatArray

    def predict(self, theta: FloatArray) -> FloatArray:
        """[trials, points, METRICS, STATISTICS] seconds of the trials in theta [trials, 4]."""
        return self.simulated(theta).seconds

    def simulated(self, theta: FloatArray) -> Prediction:
        """Everything the simulator says of the trials in theta [trials, 4]."""
        each = len(self.load.point)
        # Lanes side by side are cheap up to some number; equal shapes compile once, so short calls repeat trials.
        size = max(min(len(self.weights) * (1 + len(COEFFICIENTS)), MOST_LANES // each), 1)
        found = []
        for start in range(0, len(theta), size):
            part = np.resize(theta[start : start + size], (size, theta.shape[1]))
            factors = [_factors(row) for row in part]
            lanes = _stack([self._cost(f) for f in factors])
            found.append(run(lanes, self.load, self.limits, np.array([f.request_s for f in factors])))
        return Prediction(*(np.concatenate(parts)[: len(theta)] for parts in zip(*found, strict=True)))

    def _cost(self, factors: Factors) -> StepCost:
        s = self.setup
        catalog = corrected(s.catalog, correction(s.configuration, factors))
        points = len(self.load.measured)
        context = [self._context(i) for i in range(points)]
        return step_cost(
            [s.configuration] * points, {s.llm.name: s.llm}, {s.gpu.name: s.gpu}, s.engine, catalog, context
        )

    def _context(self, point: int) -> float:
        """Mean tokens in a decoding sequence."""
        lane = int(np.flatnonzero(self.load.point == point)[0])
        n = int(self.load.count[lane])
        return float(self.load.input_tokens[lane, :n].mean() + self.load.output_tokens[lane, :n].mean() / 2)

    def residuals(self, predicted: FloatArray) -> FloatArray:
        """[trials, points, values] of log(predicted / measured) over the noise; a cut-off lane is far off."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.log(predicted[:, :, :2] / self.load.measured[None, :, :2])
        ratio = np.where(np.isnan(ratio), 5.0, ratio) / self.noise[None]
        return ratio.reshape(*ratio.shape[:2], -1)

    def linear(self, theta: FloatArray, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Jacobian [fits, points, values, 4] by differences, and residuals [fits, points, values]; both with the prior
        as one more point."""
        fits, k = theta.shape
        moved = np.repeat(theta, k, axis=0) + np.tile(np.eye(k) * STEP / PRIOR_SD, (fits, 1))
        shifted = self.residuals(self.predict(moved)).reshape(fits, k, *self.noise.shape[:1], -1)
        residual = self.residuals(base)
        rise = (STEP / PRIOR_SD)[None, :, None, None]
        jacobian = np.moveaxis((shifted - residual[:, None]) / rise, 1, -1)
        return jacobian, residual

    def objective(self, theta: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
        """Huber losses and prior of each trial, [trials]."""
        r = np.abs(self.residuals(predicted))
        loss = np.where(r <= HUBER, 0.5 * r**2, HUBER * (r - 0.5 * HUBER)).sum(axis=2)
        return np.asarray((loss * weights).sum(axis=1) + 0.5 * (theta**2).sum(axis=1))


def _normal(
    jacobian: FloatArray, residual: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Huber weights, gradient [fits, 4] of the data and curvature [fits, 4, 4] with the unit prior."""
    robust = np.minimum(1.0, HUBER / np.maximum(np.abs(residual), 1e-9)) * weights[:, :, None]
    gradient = np.einsum("fpv,fpvk->fk", robust * residual, jacobian)
    curvature = np.einsum("fpv,fpvk,fpvl->fkl", robust, jacobian, jacobian) + np.eye(jacobian.shape[-1])
    return robust, gradient, curvature


def _descend(problem: _Problem, theta: FloatArray, rounds: int) -> tuple[FloatArray, FloatArray]:
    """Parameters [fits, 4] and their predictions after damped Gauss-Newton steps from theta."""
    fits, k = theta.shape
    base = problem.predict(theta)
    value = problem.objective(theta, base, problem.weights)
    for _ in range(rounds):
        jacobian, residual = problem.linear(theta, base)
        _, gradient, curvature = _normal(jacobian, residual, problem.weights)
        gradient = gradient + theta
        trials = []
        for damping in DAMPING:
            matrix = curvature + damping * np.eye(k)
            step = -np.linalg.solve(matrix, gradient[..., None])[..., 0]
            # Beyond two prior widths at once the linear picture says nothing.
            step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
            trials.append(theta + step)
        tried = np.stack(trials, axis=1).reshape(-1, k)
        predicted = problem.predict(tried)
        scores = problem.objective(tried, predicted, np.repeat(problem.weights, len(DAMPING), axis=0))
        scores = scores.reshape(fits, -1)
        best = scores.argmin(axis=1)
        better = scores.min(axis=1) < value - 1e-4 * np.maximum(value, 1.0)
        rows = np.arange(fits) * len(DAMPING) + best
        theta = np.where(better[:, None], tried[rows], theta)
        base = np.where(better[:, None, None, None], predicted[rows], base)
        value = np.where(better, scores.min(axis=1), value)
        if not better.any():
            break
    return theta, base


def _stack(costs: Sequence[StepCost]) -> StepCost:
    """Lanes of several costs after one another."""
    arrays = {
        field.name: np.concatenate([getattr(cost, field.name) for cost in costs])
        for field in fields(StepCost)
        if field.name != "tokens" and getattr(costs[0], field.name) is not None
    }
    return replace(costs[0], **arrays)
