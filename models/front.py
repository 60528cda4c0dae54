"""The Pareto front of a sweep: what nothing beats on cost, time per output token and throughput at once.

Points stream through in chunks and only the front of what was seen is kept, so that grids of any size fit in memory.
Configurations without a single point within the limits carry an Excuse: what breaks at the smallest batch, by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.records import BoolArray, Configuration, Excuse, FloatArray, Gpu, Llm, Provenance
from models.excuses import hardware, layout
from models.rows import build_rows
from models.sweep import LIMITS, Budget, LoadGrid, SweepPoints, SweepPolicy, pareto_front, stream

CHUNK_ROWS = 64
CHUNK_POINTS = 2**22
"""Points that are held at once (30 bytes each on the device, as many again on the host): fewer rows a chunk where the
loads of one are many, and the batches of a row in parts where even those are more."""
ADVICE = {
    "memory": "more tensor or pipeline parallelism, a smaller precision or a larger GPU",
    "kv_cache": "shorter requests, an fp8 cache or more GPUs a replica",
    "tpot": "more tensor parallelism, a smaller precision or a faster GPU",
    "max_num_seqs": "smaller batches, or raise evaluate.max_num_seqs",
    "ttft": "shorter prompts, more tensor parallelism or a faster GPU",
}


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One replica at one load; times in seconds, rates of the replica."""

    configuration: Configuration
    batch: float
    input_tokens: float
    output_tokens: float
    tpot_s: float
    ttft_s: float
    output_tokens_per_s: float
    usd_per_million_tokens: float
    joules_per_token_at_most: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Excused:
    """A configuration that holds no load of the grid."""

    configuration: Configuration
    excuse: Excuse


@dataclass(frozen=True, slots=True)
class Sweep:
    """The front by LLM and request length, what was excused, and how much was looked at."""

    front: tuple[FrontPoint, ...]
    excused: tuple[Excused, ...]
    points: int
    within_limits: int
    device: str


def sweep(
    configurations: Sequence[Configuration],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    usd_per_gpu_h: Mapping[str, float],
    catalog: CoefficientCatalog,
    policy: SweepPolicy,
    batches: FloatArray,
    input_tokens: FloatArray,
    output_tokens: FloatArray,
) -> Sweep:
    """Every configuration at every batch (rising), prompt length and output length (the axes' cartesian product).

    At most CHUNK_POINTS points are held at once, or one batch of one row where its lengths are more.
    """
    possible, excused = _possible(configurations, llms, gpus, usd_per_gpu_h)
    device = jax.devices()[0]
    name = f"{device.platform}:{device.device_kind}"
    if not possible:
        return Sweep((), tuple(excused), 0, 0, name)
    rows, provenance = build_rows(possible, llms, gpus, policy.engine, catalog)
    cost = Budget(
        jnp.asarray([one.gpus * usd_per_gpu_h[one.gpu] for one in possible], dtype=jnp.float32),
        jnp.asarray([one.gpus * gpus[one.gpu].tdp_w for one in possible], dtype=jnp.float32),
    )
    lengths = [jnp.asarray(axis, dtype=jnp.float32) for axis in (input_tokens, output_tokens)]
    each = len(input_tokens) * len(output_tokens)
    kept: dict[tuple[str, int, int], tuple[FrontPoint, ...]] = {}
    # What breaks at the smallest batch, of every configuration that no batch so far serves.
    idle: dict[int, Excuse] = {}
    within = 0
    for number, some in enumerate(_parts(batches, max(1, CHUNK_POINTS // each))):
        loads = LoadGrid(jnp.asarray(some, dtype=jnp.float32), *lengths)
        size = max(1, min(CHUNK_ROWS, len(possible), CHUNK_POINTS // loads.points // len(jax.devices())))
        for part, found in stream(rows, cost, loads, policy, size):
            host: SweepPoints = jax.device_get(found)
            feasible = np.asarray(host.limit) == 0
            within += int(feasible.sum())
            serves = feasible.any(axis=(1, 2, 3))
            for lane in range(len(serves)):
                row = part.start + lane
                if serves[lane]:
                    idle.pop(row, None)
                elif number == 0:
                    idle[row] = _excuse(host, lane, policy, loads)
            _merge(kept, possible[part], provenance[part], host, feasible, loads)
    excused += [Excused(possible[row], excuse) for row, excuse in sorted(idle.items())]
    front = tuple(point for key in sorted(kept) for point in kept[key])
    return Sweep(front, tuple(excused), len(possible) * len(batches) * each, within, name)


def _parts(batches: FloatArray, most: int) -> list[FloatArray]:
    """The batches in order, at most so many at a time."""
    return [batches[start : start + most] for start in range(0, len(batches), most)]


def _possible(
    configurations: Sequence[Configuration],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    usd_per_gpu_h: Mapping[str, float],
) -> tuple[list[Configuration], list[Excused]]:
    """Configurations that hardware and prices allow, and the others with their reason."""
    possible, excused = [], []
    for one in configurations:
        if (missing := hardware(one, gpus[one.gpu]) or layout(one, llms[one.llm])) is not None:
            reason = missing
        elif one.gpu not in usd_per_gpu_h:
            reason = Excuse("price", 1, 0, "price", f"no on-demand price of {one.gpu} is known: state one")
        else:
            possible.append(one)
            continue
        excused.append(Excused(one, reason))
    return possible, excused


def _excuse(found: SweepPoints, lane: int, policy: SweepPolicy, loads: LoadGrid) -> Excuse:
    """The limit that breaks at the smallest batch, for the request length that misses it by the least."""
    overrun = found.overrun[lane, :1]
    at = np.unravel_index(int(np.argmin(overrun)), overrun.shape)
    limit, share = LIMITS[int(found.limit[lane][at])], float(overrun[at])
    limits = {"tpot": policy.tpot_s, "ttft": policy.ttft_s}
    units = dict.fromkeys(limits, f"s at batch {float(loads.batch[at[0]]):g}")
    unit = {**units, "max_num_seqs": "of the engine's sequences"}.get(limit, "of the GPU's memory")
    available = limits.get(limit, 1.0)
    return Excuse(limit, share * available, available, unit, ADVICE[limit])


def _merge(
    kept: dict[tuple[str, int, int], tuple[FrontPoint, ...]],
    configurations: Sequence[Configuration],
    provenance: Sequence[Provenance],
    found: SweepPoints,
    feasible: BoolArray,
    loads: LoadGrid,
) -> None:
    """The fronts with this chunk's points taken in."""
    by_llm: dict[str, list[int]] = {}
    for lane, one in enumerate(configurations):
        by_llm.setdefault(one.llm, []).append(lane)
    _, _, inputs, outputs = found.tpot_s.shape
    batch = np.asarray(loads.batch)
    for llm, lanes in by_llm.items():
        for i, o in np.ndindex(inputs, outputs):
            which, n = np.nonzero(feasible[lanes, :, i, o])
            if not len(which):
                continue
            at = np.asarray(lanes)[which]
            objectives = (leaf[at, n, i, o].astype(float) for leaf in _objectives(found))
            new = tuple(
                FrontPoint(
                    configuration=configurations[int(at[k])],
                    batch=float(batch[n[k]]),
                    input_tokens=float(loads.input_tokens[i]),
                    output_tokens=float(loads.output_tokens[o]),
                    tpot_s=float(found.tpot_s[at[k], n[k], i, o]),
                    ttft_s=float(found.ttft_s[at[k], n[k], i, o]),
                    output_tokens_per_s=float(found.output_tokens_per_s[at[k], n[k], i, o]),
                    usd_per_million_tokens=float(found.usd_per_million_tokens[at[k], n[k], i, o]),
                    joules_per_token_at_most=float(found.joules_per_token[at[k], n[k], i, o]),
                    provenance=provenance[int(at[k])],
                )
                for k in pareto_front(*objectives)
            )
            kept[llm, i, o] = _front(kept.get((llm, i, o), ()) + new)


def _objectives(found: SweepPoints) -> tuple[FloatArray, FloatArray, FloatArray]:
    return tuple(np.asarray(leaf) for leaf in (found.usd_per_million_tokens, found.tpot_s, found.output_tokens_per_s))  # type: ignore[return-value]


def _front(points: tuple[FrontPoint, ...]) -> tuple[FrontPoint, ...]:
    """Those of the points that none beats, cheapest first."""
    columns = [
        np.array(column)
        for column in zip(*((p.usd_per_million_tokens, p.tpot_s, p.output_tokens_per_s) for p in points), strict=True)
    ]
    return tuple(points[int(k)] for k in pareto_front(*columns))
