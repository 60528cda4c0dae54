"""Load tests of a server whose speed is known: the plain-Python engine serves, a client measures."""

from __future__ import annotations

import math

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.loadtests.fields import of_values
from data.loadtests.records import NAN, LoadPoint, LoadTest, RequestRows
from data.records import Configuration, Engine, StepCost
from models.loadtest_coefficients import Factors, corrected, correction
from models.loadtest_fit import Setup
from models.step_cost import step_cost
from tests.models.simulator.oracle import Cost, Request, run

LLM, GPU = find_llm("Llama-3.1-8B"), find_gpu("H100-SXM")
ONE = Configuration(LLM.name, GPU.name, "bf16", "bf16", 1, "vllm", max_num_seqs=64, max_num_batched_tokens=2048)
INPUT, OUTPUT = 300, 40


def setup(catalog: CoefficientCatalog | None = None, engine: Engine | None = None) -> Setup:
    return Setup(ONE, LLM, GPU, engine or find_engine("vllm"), catalog or load_coefficients())


def cost_of(factors: Factors) -> StepCost:
    catalog = corrected(load_coefficients(), correction(ONE, factors))
    return step_cost([ONE], {LLM.name: LLM}, {GPU.name: GPU}, find_engine("vllm"), catalog, [INPUT + OUTPUT / 2])


def served(factors: Factors, rate: float, clients: int = 0, n: int = 80, seed: int = 0) -> LoadPoint:
    """One point: Poisson arrivals at a rate, or `clients` in a closed loop."""
    rng = np.random.default_rng(seed)
    arrival = np.zeros(n) if clients else np.cumsum(rng.exponential(1.0 / rate, n))
    inputs, outputs = rng.integers(INPUT - 100, INPUT + 100, n), rng.integers(OUTPUT - 10, OUTPUT + 10, n)
    c = cost_of(factors)
    cost = Cost(
        c.tokens.tolist(), c.linear_s[0].tolist(), float(c.decode_base_s[0]), float(c.decode_per_seq_s[0]),
        float(c.decode_per_kv_token_s[0]), float(c.prefill_base_s[0]), float(c.prefill_per_token_s[0]),
        float(c.prefill_per_attention_s[0]),
    )  # fmt: skip
    requests = [Request(float(a), int(i), 0, int(o)) for a, i, o in zip(arrival, inputs, outputs, strict=True)]
    run(requests, cost, 64, 2048, 1e9, 16, overlap=find_engine("vllm").overlapped_scheduling, clients=clients)
    first, end = np.array([r.first_s for r in requests]), np.array([r.end_s for r in requests])
    sent = np.array([r.arrival_s for r in requests])
    wait = factors.request_s - sent
    rows = RequestRows(sent, inputs * 1.0, outputs * 1.0, first + wait, end + wait)
    return measured_point(rows, rate, clients, f"{clients} clients" if clients else f"{rate:g} req/s")


def measured_point(rows: RequestRows, rate: float, clients: int, label: str) -> LoadPoint:
    duration = float((rows.start_s + rows.e2e_s).max() - rows.start_s.min())
    n = len(rows.start_s)
    return LoadPoint(
        label=label,
        source="made here",
        arrivals="closed" if clients else "poisson",
        offered_rps=NAN if clients else rate,
        clients=float(clients or math.nan),
        achieved_rps=n / duration,
        duration_s=duration,
        requests_ok=n,
        requests_failed=0,
        input_tokens=of_values(rows.input_tokens),
        output_tokens=of_values(rows.output_tokens),
        ttft_s=of_values(rows.ttft_s),
        tpot_s=of_values((rows.e2e_s - rows.ttft_s) / (rows.output_tokens - 1)),
        e2e_s=of_values(rows.e2e_s),
        output_tokens_per_s=float(rows.output_tokens.sum()) / duration,
        rows=rows,
    )


def load_test(*points: LoadPoint) -> LoadTest:
    return LoadTest("made here", "", "", points, ("made here",))
