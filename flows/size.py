"""One configuration examined: does it load, and how much does it serve at the SLO?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.evaluation import EvaluationPolicy
from configs.validation import validated
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.records import Capacity, Configuration, LengthSample, SloTarget
from models.evaluate import evaluate
from models.service import simulated
from models.size import MemoryBreakdown, size

CLASS = "requests"


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


@dataclass(frozen=True, slots=True)
class Answer:
    """Memory in bytes a GPU, and the capacity of a replica, simulated where it loads."""

    memory: MemoryBreakdown
    capacity: Capacity


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
            "engine": question.engine,
        },
        "command line",
    )
    one = np.array([question.input_tokens], dtype=np.int64), np.array([question.output_tokens], dtype=np.int64)
    sample = LengthSample(*one, np.zeros(1, dtype=np.int64), np.ones(1), "command line")
    lengths, slos = {(llm.name, CLASS): sample}, {CLASS: question.slo}
    table = evaluate([llm], [gpu], engine, load_coefficients(), policy, lengths, slos)
    table = simulated(
        table, set(lengths), {llm.name: llm}, {gpu.name: gpu}, engine, load_coefficients(), lengths,
        policy.operating_point,
    )  # fmt: skip
    (row,) = table.rows
    configuration: Configuration = row.configuration
    breakdown = size(
        configuration, {llm.name: llm}, {gpu.name: gpu}, engine, load_coefficients(),
        question.input_tokens + question.output_tokens, policy.headroom,
    )  # fmt: skip
    return Answer(breakdown, row)
