"""Triton counts a request at every model that it passes: the steps around the LLM are told from the LLM."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable

LLM = "tensorrt_llm"
AROUND = frozenset({"ensemble", "preprocessing", "postprocessing", "tensorrt_llm_bls", "multimodal_encoders"})
"""Models of the TensorRT-LLM backend's deployments that pass requests on to `tensorrt_llm`, or on from it."""


def replica_and_model(instance: str) -> tuple[str, str]:
    """What a series of Triton counts for, from its other labels as JSON: the server, and the model on it."""
    labels = json.loads(instance)
    model = str(labels.get("model", ""))
    return json.dumps([labels.get(name) for name in ("job", "namespace", "pod", "instance")]), model


def around_the_llm(instances: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Of Triton counters of requests (their labels as JSON): those of steps around an LLM which the same server counts,
    and the names of models that one server counts side by side otherwise."""
    models: dict[str, set[str]] = defaultdict(set)
    places = {}
    for instance in instances:
        places[instance] = replica_and_model(instance)
        models[places[instance][0]].add(places[instance][1])
    steps = {one for one, (server, model) in places.items() if model in AROUND and LLM in models[server]}
    left: dict[str, set[str]] = defaultdict(set)
    for one, (server, model) in places.items():
        if one not in steps:
            left[server].add(model)
    return frozenset(steps), tuple(sorted({name for names in left.values() if len(names) > 1 for name in names}))
