"""One configuration examined: does it load, and how much does it serve at the SLO?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from configs.errors import InputError
from configs.evaluation import EvaluationPolicy
from configs.validation import validated
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.engine_limits import batch_limits
from data.memory_records import MemoryBreakdown
from data.records import Capacity, Configuration, Engine, Gpu, LengthSample, Llm, SloTarget
from data.units import GB
from models.corrections import passed_over
from models.disaggregation import Disaggregated, disaggregated
from models.evaluate import evaluate
from models.excuses import hardware
from models.phases import Phases, Speculation, phases
from models.service import simulated
from models.simulator.knee import TARGET_BAND
from models.size import size

CLASS = "requests"
PREFILL_TP = ("1", "2", "4", "8")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: one configuration, requests of a fixed length, an SLO."""

    llm: str
    gpu: str
    precision: str
    tensor_parallel: int
    engine: str
    input_tokens: int
    output_tokens: int
    slo: SloTarget
    pipeline_parallel: int = 1
    expert_parallel: bool = False
    attention_data_parallel: int = 1
    kv_precision: str = "bf16"
    adapters: int = 0
    prefix_share: float = 0.0
    """Share of the prompt that the prefix cache holds."""
    speculation: Speculation | None = None
    gpu_memory_utilization: float | None = None
    calibration: tuple[Path, ...] = ()
    """Files that `fleetcast calibrate` and `loadtest` wrote."""
    prefill_on: str | None = None
    """`GPU` or `GPU:TP` of replicas that only prefill; those asked about then only decode."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Memory in bytes a GPU, the capacity of a replica, simulated where it loads, and steady times and energy at the
    requests that fit; times are None where it does not load."""

    memory: MemoryBreakdown
    capacity: Capacity
    times: Phases | None = None
    loads_from: int | None = None
    """The least tensor parallelism at which it loads, where it does not as asked; None where none of 1 to 8 does."""
    knee_band_target: float = TARGET_BAND
    """Seeds are added until the knee's band is as narrow, or MOST_SEEDS of models/simulator/knee.py."""
    notes: tuple[str, ...] = ()
    """What was asked for that the served rate does not count."""
    split: Disaggregated | None = None
    """Prefill and decode on replicas of their own, where asked and one request keeps the TPOT limit."""


def examine(question: Question) -> Answer:
    """The memory breakdown and the simulated capacity of a configuration.

    Raises InputError for unknown names, precisions and degrees of parallelism.
    """
    llm, gpu, engine = find_llm(question.llm), find_gpu(question.gpu), find_engine(question.engine)
    policy = validated(
        EvaluationPolicy,
        {
            "llms": [llm.name],
            "gpus": [gpu.name],
            "precisions": [question.precision],
            "tensor_parallel": [question.tensor_parallel],
            "pipeline_parallel": [question.pipeline_parallel],
            "expert_parallel": [question.expert_parallel],
            "attention_data_parallel": [question.attention_data_parallel],
            "kv_precision": question.kv_precision,
            "engine": question.engine,
            "gpu_memory_utilization": question.gpu_memory_utilization,
        },
        "command line",
    )
    if not llm.experts and (question.expert_parallel or question.attention_data_parallel > 1):
        what = "--expert-parallel" if question.expert_parallel else "--attention-data-parallel"
        raise InputError(what, "a mixture of experts", f"{llm.name}, which has none", "Use --tp or --pp.")
    inputs, outputs = (np.array([n], dtype=np.int64) for n in (question.input_tokens, question.output_tokens))
    cached = np.floor(question.prefix_share * inputs).astype(np.int64)
    sample = LengthSample(inputs, outputs, cached, np.ones(1), "command line")
    lengths, slos = {(llm.name, CLASS): sample}, {CLASS: question.slo}
    coefficients = load_coefficients(calibration=question.calibration)
    table = evaluate([llm], [gpu], engine, coefficients, policy, lengths, slos, question.adapters)
    table = simulated(
        table, set(lengths), {llm.name: llm}, {gpu.name: gpu}, engine, coefficients, lengths,
        policy.operating_point, target_band=TARGET_BAND, routing="round_robin",
    )  # fmt: skip
    (row,) = table.rows
    configuration: Configuration = row.configuration

    def memory(one: Configuration) -> MemoryBreakdown:
        return size(
            one, {llm.name: llm}, {gpu.name: gpu}, engine, coefficients,
            question.input_tokens + question.output_tokens, policy.headroom, policy.gpu_memory_utilization,
            question.adapters,
        )  # fmt: skip

    breakdown = memory(configuration)
    times = _times(question, configuration, breakdown, llm, gpu, engine)
    more = (n for n in (2, 4, 8) if n > question.tensor_parallel and llm.heads % n == 0)
    enough = (n for n in more if memory(replace(configuration, tensor_parallel=n)).loads)
    apart = _split(question, configuration, llm, gpu, engine, policy.headroom) if breakdown.loads else None
    notes = _notes(question, configuration, coefficients)
    if question.prefill_on is not None and breakdown.loads and apart is None:
        notes = (*notes, "prefill and decode apart: not one request decodes within the TPOT limit")
    return Answer(breakdown, row, times, None if breakdown.loads else next(enough, None), notes=notes, split=apart)


def _split(
    question: Question, decode: Configuration, llm: Llm, gpu: Gpu, engine: Engine, headroom: float
) -> Disaggregated | None:
    """What a fleet carries whose prompts are prefilled on replicas of their own; None where nothing of it was asked, or
    one request alone breaks the TPOT limit."""
    if question.prefill_on is None:
        return None
    name, _, ways = question.prefill_on.partition(":")
    other = find_gpu(name)
    if ways and ways not in PREFILL_TP:
        fix = "Write --prefill-on H100-SXM:2."
        raise InputError("--prefill-on", f"GPU:TP with TP one of {', '.join(PREFILL_TP)}", repr(ways), fix)
    prefill = replace(
        decode, gpu=other.name, tensor_parallel=int(ways or decode.tensor_parallel), pipeline_parallel=1,
        expert_parallel=1, attention_data_parallel=1, **batch_limits(engine, other)._asdict(),
    )  # fmt: skip
    for one, on in ((prefill, other), (decode, gpu)):
        if (missing := hardware(one, on)) is not None:
            raise InputError("--prefill-on", f"a GPU that runs {one.precision}", on.name, str(missing))
    known = ({llm.name: llm}, {gpu.name: gpu, other.name: other}, engine)
    coefficients = load_coefficients(calibration=question.calibration)
    room = size(prefill, *known, coefficients, question.input_tokens, headroom, question.gpu_memory_utilization)
    if not room.concurrent_requests:
        what = f"{llm.name} in {prefill.precision} and a prompt of {question.input_tokens:,} tokens"
        more = f"{-room.kv_pool_bytes / GB:.1f} GB a GPU too little; name more GPUs, as in {other.name}:8."
        raise InputError("--prefill-on", f"GPUs that hold {what}", f"{prefill.gpus} x {other.name}", more)
    return disaggregated(
        prefill, decode, *known, coefficients, float(question.input_tokens), float(question.output_tokens),
        question.slo.tpot_s, headroom, question.prefix_share,
    )  # fmt: skip


def _notes(question: Question, one: Configuration, coefficients: CoefficientCatalog) -> tuple[str, ...]:
    """Options that change memory or steady times, but not the rate at the SLO, which is simulated without them; and
    calibration that was asked for and does not apply."""
    notes = [*passed_over(coefficients.corrections, [one])]
    if question.speculation is not None:
        notes.append("the rate at the SLO is without speculation: only the times of a full batch count it")
    if question.prefill_on is not None and (question.adapters or question.speculation):
        notes.append("prefill and decode apart are without adapters and speculation")
    if question.adapters:
        notes.append("of LoRA adapters the memory counts, not the time that their products take")
    return tuple(notes)


def _times(
    question: Question, one: Configuration, memory: MemoryBreakdown, llm: Llm, gpu: Gpu, engine: Engine
) -> Phases | None:
    """Steady times at the requests that fit at once; None where not one does."""
    if not (memory.loads and memory.concurrent_requests):
        return None
    coefficients = load_coefficients(calibration=question.calibration)
    return phases(
        one, {llm.name: llm}, {gpu.name: gpu}, engine, coefficients, float(question.input_tokens),
        float(question.output_tokens), float(memory.concurrent_requests), question.prefix_share, question.speculation,
    )  # fmt: skip


def read_speculation(text: str | None) -> Speculation | None:
    """`3:0.7` as 3 draft tokens accepted with chance 0.7; raises InputError for anything else."""
    if text is None:
        return None
    try:
        tokens, acceptance = text.split(":")
        return Speculation(int(tokens), float(acceptance))
    except ValueError:
        fix = "Write --speculate 3:0.7."
        raise InputError("--speculate", "draft tokens, a colon and an acceptance below 1", repr(text), fix) from None
