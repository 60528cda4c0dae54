"""Names of a scenario that only the catalogs know, checked before any work is done with it."""

from __future__ import annotations

from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm


def check_names(scenario: Scenario) -> None:
    """Raises InputError with the closest names for an LLM, a GPU or an engine that no catalog has."""
    for llm in (*scenario.evaluate.llms, *scenario.autoscaling.models):
        find_llm(llm)
    for gpu in scenario.evaluate.gpus:
        find_gpu(gpu)
    for engine in (scenario.evaluate.engine, *scenario.autoscaling.images):
        find_engine(engine)
