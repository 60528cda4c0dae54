"""Many configurations at many loads: the Pareto front of cost, time a token and throughput, and why the rest is out."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import InputError
from configs.evaluation import EvaluationPolicy
from configs.validation import validated
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.engine_limits import batch_limits
from data.plain import finite
from data.prices import load_prices
from models.corrections import passed_over
from models.front import Sweep, sweep
from models.grid import configurations
from models.sweep import SweepPolicy

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Grid:
    """What is swept: every combination of these."""

    llms: Sequence[str]
    gpus: Sequence[str]
    precisions: Sequence[str]
    tensor_parallel: Sequence[int]
    pipeline_parallel: Sequence[int]
    engine: str
    kv_precision: str
    input_tokens: Sequence[int]
    output_tokens: Sequence[int]
    batches: int
    """Batch sizes, spaced geometrically from 1 to the engine's max_num_seqs, the largest of the GPUs'."""
    ttft_s: float
    tpot_s: float
    prices: Sequence[str] = ()
    """`GPU=USD` an hour of one GPU; others take the cheapest on-demand price of the catalog."""
    calibration: tuple[Path, ...] = ()
    """Files that `fleetcast calibrate` and `loadtest` wrote."""


def run(grid: Grid) -> Sweep:
    """Sweep the grid. Raises InputError for unknown names, and for prices and lengths that cannot be."""
    llms = {llm.name: llm for llm in map(find_llm, grid.llms)}
    gpus = {gpu.name: gpu for gpu in map(find_gpu, grid.gpus)}
    engine = find_engine(grid.engine)
    policy = validated(
        EvaluationPolicy,
        {
            "llms": list(llms),
            "gpus": list(gpus),
            "precisions": list(grid.precisions),
            "tensor_parallel": list(grid.tensor_parallel),
            "pipeline_parallel": list(grid.pipeline_parallel),
            "kv_precision": grid.kv_precision,
            "engine": grid.engine,
        },
        "command line",
    )
    most = {name: batch_limits(engine, gpu) for name, gpu in gpus.items()}
    grid_of = configurations(list(llms.values()), list(gpus.values()), engine, policy)
    limits = SweepPolicy(
        engine, engine.gpu_memory_utilization, policy.headroom, grid.ttft_s, grid.tpot_s
    )  # fmt: skip
    batches = np.unique(np.round(np.geomspace(1, max(one.max_num_seqs for one in most.values()), grid.batches)))
    coefficients = load_coefficients(calibration=grid.calibration)
    for text in passed_over(coefficients.corrections, grid_of):
        LOG.warning(text)
    return sweep(
        grid_of, llms, gpus, _prices(grid.prices), coefficients, limits, batches,
        np.array(grid.input_tokens, dtype=float), np.array(grid.output_tokens, dtype=float),
    )  # fmt: skip


def _prices(stated: Sequence[str]) -> dict[str, float]:
    """USD an hour of each GPU: as stated, else the cheapest on-demand row."""
    found: dict[str, float] = {}
    for row in load_prices().rows:
        if row.option == "on_demand":
            found[row.gpu] = min(found.get(row.gpu, float("inf")), row.usd_per_gpu_h)
    for text in stated:
        name, _, amount = text.partition("=")
        try:
            usd = float(amount)
        except ValueError:
            usd = 0.0
        if not 0.0 < usd < float("inf"):
            raise InputError("--price", "GPU=USD an hour, above 0", repr(text), "Write --price H100-SXM=2.50.")
        found[find_gpu(name).name] = usd
    return found


def as_json(found: Sweep) -> str:
    """Front and excuses for machines."""
    return json.dumps(finite(asdict(found)), indent=2, allow_nan=False) + "\n"


def show(console: Console, found: Sweep, most: int = 12) -> None:
    """The front by LLM, and how many configurations each limit put out."""
    console.print(
        f"{found.points:,} points on {escape(found.device)}, {found.within_limits:,} within the limits, "
        f"{len(found.front)} that none beats on cost, TPOT and throughput at once"
    )
    keys = sorted({(p.configuration.llm, p.input_tokens, p.output_tokens) for p in found.front})
    for llm, inputs, outputs in keys:
        points = [
            p for p in found.front if (p.configuration.llm, p.input_tokens, p.output_tokens) == (llm, inputs, outputs)
        ]
        table = Table(
            title=f"{escape(llm)}, {inputs:,.0f} tokens in, {outputs:,.0f} out", box=None, title_justify="left"
        )
        for name in ("configuration", "batch", "USD/M tokens", "TPOT ms", "TTFT s", "tokens/s", "step time"):
            table.add_column(name, justify="left" if name in ("configuration", "step time") else "right")
        shown = [points[i] for i in np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))]
        for p in shown:
            one = p.configuration
            label = f"{one.gpu} {one.precision} {one.layout}"
            table.add_row(
                label, f"{p.batch:.0f}", f"{p.usd_per_million_tokens:.2f}", f"{p.tpot_s * 1e3:.1f}", f"{p.ttft_s:.2f}",
                f"{p.output_tokens_per_s:,.0f}", p.provenance,
            )  # fmt: skip
        console.print(table)
        if len(points) > most:
            console.print(f"[dim]{len(points) - most} more between these; --json has all[/]")
    counts = Counter(one.excuse.limit for one in found.excused)
    for limit, count in counts.most_common():
        example = next(one for one in found.excused if one.excuse.limit == limit)
        label = escape(example.configuration.label)
        console.print(f"Out by {escape(limit)}: {count}, e.g. {label}: {escape(str(example.excuse))}")
