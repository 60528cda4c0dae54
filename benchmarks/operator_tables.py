"""Step costs from a profiler's operator tables, microseconds a layer and a rank.

A folder op_tables/ holds dense.csv (layer, tokens, time_us), per_sequence.csv (layer, sequences, time_us),
attention.csv (prefill_chunk, kv_prefill or prefill_key, n_decode, kv_decode, time_us; newer profilers add layer and
decode_q_len) and, for mixtures of experts, moe.csv (tokens, activated_experts, time_us of the whole block; newer ones
add ep).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from benchmarks.inputs import table_of
from configs.errors import InputError
from data.catalog import find_engine, load_coefficients
from data.records import Gpu, Llm, StepCost
from models.coefficients import coefficients

MICRO = 1e-6
ONCE = {"embedding", "final_layernorm"}
"""Dense operators that run once a step; layernorm runs twice a layer, every other operator once."""
FULL = 2.0
"""A loaded engine spends its time in batches from a quarter of the largest on."""
USED = ("dense.csv", "per_sequence.csv", "attention.csv", "moe.csv")


class Reach(NamedTuple):
    """Where a run can be: the most sequences in a batch, by the engine's limit and by what its KV cache holds, and
    contexts from the shortest to the longest (5th percentile of its prompts, 95th of its prompts with their outputs).
    A line through the tables is fitted there."""

    sequences: int
    shortest: float
    longest: float


class Shards(NamedTuple):
    """Over what an LLM is split; the tables are those of one rank."""

    gpu: Gpu
    tensor_parallel: int = 1
    expert_parallel: bool = False


def unused(folder: Path) -> list[str]:
    """Names of the tables beside them that no cost is read from."""
    return sorted(path.name for path in (folder / "op_tables").iterdir() if path.name not in USED)


def step_cost(folder: Path, llm: Llm, reach: Reach, shards: Shards) -> StepCost:
    """One lane's cost. Raises InputError where a table or a column is missing."""
    layers = llm.layers
    tokens, linear = _linear(folder, llm, shards)
    per_sequence = _table(folder, "per_sequence.csv", "layer", "sequences")
    heads = per_sequence.groupby("sequences")["time_us"].sum()
    head = np.polyfit(heads.index.to_numpy(dtype=float), heads.to_numpy(), 1)
    attention = _attention(folder)
    # An error weighs by its share of the whole layer, which is mostly GEMMs, and by the tokens that wait for it.
    layer = np.interp(attention.prefill_chunk + attention.n_decode, tokens, linear) / layers
    waiting = np.where(attention.n_decode > 0, attention.n_decode / reach.sequences, 1.0)
    attention["weight"] = waiting / (attention.time_us + layer)

    decode = _within(attention[(attention.prefill_chunk == 0) & (attention.n_decode > 0)], reach)
    n, kv = decode.n_decode.to_numpy(dtype=float), decode.kv_decode.to_numpy(dtype=float)
    d = _fit(decode, np.ones_like(n), n, n * kv)

    alone = attention[(attention.prefill_chunk > 0) & (attention.n_decode == 0)]
    both = _within(attention[(attention.prefill_chunk > 0) & (attention.n_decode > 0)], reach)
    prompts = pd.concat([alone[alone.prefill_key <= reach.longest], both[both.prefill_key <= reach.longest]])
    chunk, key = prompts.prefill_chunk.to_numpy(dtype=float), prompts.prefill_key.to_numpy(dtype=float)
    n, kv = prompts.n_decode.to_numpy(dtype=float), prompts.kv_decode.to_numpy(dtype=float)
    beside = np.where(n > 0, d[0] + d[1] * n + d[2] * n * kv, 0.0)
    *p, mixed = _fit(prompts, np.ones_like(chunk), chunk, chunk * key, beside)

    def one(value: float) -> np.ndarray:
        return np.array([value * MICRO])

    attending = layers - llm.state_layers
    return StepCost(
        tokens,
        (linear + head[1])[None, :] * MICRO + find_engine("vllm").host_overhead_s,
        one(attending * d[0]), one(attending * d[1] + head[0]), one(attending * d[2]),
        one(attending * p[0]), one(attending * p[1]), one(attending * p[2]),
        np.array([max(mixed, 1.0)]),
    )  # fmt: skip


def _linear(folder: Path, llm: Llm, shards: Shards) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a step, from 0, and the microseconds of all that depends on them alone."""
    dense = _table(folder, "dense.csv", "layer", "tokens")
    wide = dense.pivot_table(index="tokens", columns="layer", values="time_us").sort_index().interpolate("index")
    sparse = max(llm.layers - llm.dense_layers, 0) if llm.experts else 0
    feed_forward = {"gate_up_proj", "act_fn", "down_proj"}

    def times(name: str) -> int:
        if name in ONCE:
            return 1
        if name == "layernorm":
            return 2 * llm.layers
        return llm.layers - sparse if name in feed_forward else llm.layers

    linear = sum(wide[name].bfill().to_numpy() * times(name) for name in wide.columns)
    tokens = wide.index.to_numpy(dtype=float)
    if sparse:
        linear = linear + sparse * _experts(folder, llm, tokens, shards)
    linear = linear + _all_reduce(llm, tokens, shards)
    return np.concatenate([[0.0], tokens]), np.concatenate([linear[:1], linear])


def _experts(folder: Path, llm: Llm, tokens: np.ndarray, shards: Shards) -> np.ndarray:
    """Microseconds of one block of experts at the number of them that uniform routing touches on a rank."""
    moe = _table(folder, "moe.csv", "tokens", "activated_experts")
    ranks = shards.tensor_parallel if shards.expert_parallel else 1
    if "ep" in moe:
        at = moe["ep"].iloc[(moe["ep"] - ranks).abs().argmin()]
        moe = moe[moe["ep"] == at]
    held = llm.experts / ranks
    touched = held * (1.0 - (1.0 - llm.experts_per_token / llm.experts) ** tokens)
    sizes = np.array(sorted(moe["tokens"].unique()), dtype=float)
    lines = [moe[moe["tokens"] == size].sort_values("activated_experts") for size in sizes]
    # By the experts touched within each measured number of tokens, then between the numbers.
    grid = np.stack([np.interp(touched, line["activated_experts"], line["time_us"]) for line in lines])
    found = [np.interp(count, sizes, grid[:, i]) for i, count in enumerate(tokens)]
    beyond = tokens > sizes[-1]
    return np.where(beyond, np.array(found) * tokens / sizes[-1], np.array(found))


def _all_reduce(llm: Llm, tokens: np.ndarray, shards: Shards) -> np.ndarray:
    """Microseconds of a step's all-reduces, two a layer, by the catalog's link: the tables are of one rank alone."""
    ranks = shards.tensor_parallel
    if ranks == 1:
        return np.zeros_like(tokens)
    fit = coefficients(load_coefficients(), shards.gpu, find_engine("vllm"), "bf16", "bf16", ranks)
    ring = 2.0 * (ranks - 1) / ranks * 2.0 * tokens * llm.hidden / fit.all_reduce_bytes_per_s
    return np.asarray(2 * llm.layers * (fit.all_reduce_t0_s + ring) / MICRO)


def _attention(folder: Path) -> pd.DataFrame:
    """The attention table with prefill_key, the mean number of keys that a prompt token attends to."""
    table = _table(folder, "attention.csv", "prefill_chunk", "n_decode", "kv_decode")
    if "prefill_key" not in table:
        if "kv_prefill" not in table:
            raise InputError(
                str(folder / "op_tables" / "attention.csv"), "a column prefill_key or kv_prefill", "neither",
                "Give the profiler's own table.",
            )  # fmt: skip
        table["prefill_key"] = table["kv_prefill"] + table["prefill_chunk"] / 2.0
    return table[table["decode_q_len"] == 1] if "decode_q_len" in table else table


def _within(attention: pd.DataFrame, reach: Reach) -> pd.DataFrame:
    """The rows with decoding sequences that the run can reach; all of them where the table has too few there."""
    near = attention[
        attention.n_decode.between(reach.sequences / FULL, reach.sequences)
        & attention.kv_decode.between(reach.shortest, reach.longest)
    ]
    return near if near.n_decode.nunique() >= 2 and near.kv_decode.nunique() >= 2 else attention


def _fit(rows: pd.DataFrame, *columns: np.ndarray) -> np.ndarray:
    """Weighted least squares of the rows' times, coefficients not negative."""
    weight = rows.weight.to_numpy()
    return np.asarray(nnls(np.stack(columns, axis=1) * weight[:, None], rows.time_us.to_numpy() * weight)[0])


def _table(folder: Path, name: str, *columns: str) -> pd.DataFrame:
    path = folder / "op_tables" / name
    if not path.is_file():
        raise InputError(str(path), "an operator table", "no such file", "Profile the operators of this LLM, too.")
    return table_of(path, "the profiler's own table", (*columns, "time_us"))
