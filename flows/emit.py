"""`fleetcast emit`: the pools of a run folder, and their scaling, as files for machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from configs.engine_serving import EngineServing
from configs.errors import InputError
from configs.loading import load_scenario
from configs.schema import Scenario
from data.catalog import driver_name, engine_serving, find_engine, find_gpu, find_llm, llm_aliases
from data.plain import configuration_of
from data.records import Configuration, Engine, Gpu
from data.scaling_file import read_scaling
from data.scaling_records import PoolScaling
from data.units import GB
from flows.run_folder import whole_folder
from flows.scaling_pools import read_plan, standing_by
from reports.manifests.engines import Serving, unsaid
from reports.manifests.nodes import resource
from reports.manifests.pool import PoolManifest
from reports.manifests.render import render
from reports.write import SCALING

KEYS = (
    "gpu", "precision", "kv_precision", "tensor_parallel", "pipeline_parallel", "expert_parallel",
    "attention_data_parallel", "engine",
)  # fmt: skip
"""Of a configuration of one LLM, as capacity.parquet writes it."""
HINTS = {"fp8": ("fp8",), "int8": ("int8", "w8a8"), "int4": ("awq", "gptq", "int4", "w4a16"), "fp4": ("fp4",)}
"""How published checkpoints name their precision."""


def emit_run(run: Path, scaling: Path | None, out: Path) -> tuple[str, ...]:
    """Writes the manifests of a run into the new folder `out`; returns what was written.

    scaling: what `fleetcast autoscale --out` wrote; without it the plan's own, and no scaler where it has none either.
    Raises InputError for files that cannot be read, and for scaling of another plan's pools.
    """
    files = manifests(run, scaling)
    with whole_folder(out) as scratch:
        for name, text in files.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return tuple(files)


def manifests(run: Path, scaling: Path | None) -> dict[str, str]:
    """Relative path -> text. Raises InputError for pools of an engine whose catalog entry has no `serving`."""
    plan = read_plan(run)
    if scaling is None and (run / SCALING).is_file():
        scaling = run / SCALING
    scenario = load_scenario(run / "scenario.yaml").scenario
    capacity = pd.read_parquet(run / "capacity.parquet")
    known = () if scaling is None else read_scaling(scaling)
    scaled = {(one.configuration.label, one.region): one for one in known}
    largest: dict[tuple[Configuration, str], Mapping[str, Any]] = {}
    for pool in plan["pools"]:
        key = (configuration_of(pool["configuration"]), str(pool["region"]))
        if pool["replicas"] > largest.get(key, {"replicas": 0})["replicas"]:
            largest[key] = pool
    standing = standing_by(plan)
    pools = []
    for (one, region), pool in sorted(largest.items()):
        found = scaled.pop((one.label, region), None)
        pools.append(_pool(plan, scenario, capacity, one, region, pool, found, standing.get((one, region), "")))
    if scaled:
        other = ", ".join(f"{label} in {region}" for label, region in sorted(scaled))
        fix = "Run `fleetcast autoscale` on this run folder."
        raise InputError(str(scaling), "scaling of this plan's pools", f"also {other}", fix)
    quotas = {name: dict(region.gpu_quota) for name, region in scenario.plan.regions.items()}
    return render(plan, pools, quotas, scenario.evaluate.routing)


def _pool(
    plan: Mapping[str, Any],
    scenario: Scenario,
    capacity: pd.DataFrame,
    one: Configuration,
    region: str,
    pool: Mapping[str, Any],
    scaled: PoolScaling | None,
    standing: str,
) -> PoolManifest:
    policy = scenario.autoscaling
    same = capacity["llm"] == one.llm
    for name in KEYS:
        if name in capacity:
            same &= capacity[name] == getattr(one, name)
    rows = capacity[same & capacity["excuse"].isna()]
    if rows.empty:
        raise InputError("capacity.parquet", f"a row of {one.label}", "none", "Plan again.")
    kv_tokens = float(rows["kv_capacity_tokens"].min()) / one.schedulers
    weights_s = float(rows["weight_bytes_per_gpu"].max()) * one.gpus / (policy.start_up.weights_gb_per_s * GB)
    llm, engine = find_llm(one.llm), find_engine(one.engine)
    images = {find_engine(name).name: image for name, image in policy.images.items()}
    models = {find_llm(name).name: checkpoint for name, checkpoint in policy.models.items()}
    how = _how(engine)
    model, quantize, checkpoint = _checkpoint(one, models.get(one.llm), llm.native_precision, bool(how.fp8_from_bf16))
    utilisation = scenario.evaluate.gpu_memory_utilization or engine.gpu_memory_utilization
    # The planned headroom is memory that the engine must not take.
    utilisation = round(max(utilisation - scenario.evaluate.headroom, 0.1), 3)
    classes = sorted(
        {
            str(row["series"]["request_class"])
            for row in plan["forecast"]
            if find_llm(row["series"]["llm"]).name == one.llm
        }
    )
    serving = Serving(
        engine=how,
        model=model,
        served_name=one.llm,
        tensor_parallel=one.tensor_parallel,
        pipeline_parallel=one.pipeline_parallel,
        expert_parallel=one.expert_parallel,
        data_parallel=one.attention_data_parallel,
        max_num_seqs=one.max_num_seqs,
        max_num_batched_tokens=one.max_num_batched_tokens,
        max_model_len=int(min(llm.max_positions or kv_tokens, kv_tokens)),
        gpu_memory_utilization=utilisation,
        kv_precision=one.kv_precision,
        quantize=quantize,
    )
    return PoolManifest(
        scenario=str(plan["scenario"]),
        llm=one.llm,
        request_classes=tuple(classes),
        region=region,
        gpu=one.gpu,
        precision=one.precision if one.kv_precision == "bf16" else f"{one.precision}-kv-{one.kv_precision}",
        gpus=one.gpus,
        driver_name=driver_name(one.gpu),
        gpu_resource=resource(find_gpu(one.gpu).vendor),
        replicas=int(pool["replicas"]),
        disrupted_max=int(pool["failure_replicas"]),
        surge=int(pool["rollout_replicas"]),
        zones=scenario.plan.reserves.zones,
        serving=serving,
        image=images.get(one.engine, how.image),
        namespace=policy.namespace,
        prometheus=policy.prometheus,
        kv_tokens=kv_tokens,
        start_s=weights_s + policy.start_up.warm_up_s,
        drain_s=policy.start_up.drain_s,
        policy=None if scaled is None else scaled.chosen.policy,
        schedule=() if scaled is None else scaled.schedule,
        checkpoint="; ".join(text for text in (checkpoint, unsaid(serving), _nodes(one, find_gpu(one.gpu))) if text),
        scaling_doubt=_doubt(scaled, standing),
    )


def _how(engine: Engine) -> EngineServing:
    found = engine_serving(engine.name)
    if found is None:
        raise InputError(
            f"engine {engine.name!r}",
            "a catalog entry with `serving`: image, health, metrics and command line",
            "one without",
            "No manifest can start it: add `serving` to its entry in data/catalog/engines.yaml. Its plan stands.",
        )
    return found


def _nodes(one: Configuration, gpu: Gpu) -> str:
    """What is to be done for a replica that no single node holds; empty where one does."""
    if one.gpus <= gpu.host_gpus:
        return ""
    return (
        f"a replica takes {one.gpus} GPUs, more than a node's {gpu.host_gpus}, and one pod lies on one node: start it "
        "over several with LeaderWorkerSet or the engine's own launcher"
    )


def _doubt(scaled: PoolScaling | None, standing: str) -> str:
    if scaled is None and standing:
        return f"not scaled: {standing}"
    if scaled is None:
        return "not scaled: no scaler was written, replicas stand as planned (`fleetcast autoscale`)"
    best = scaled.chosen
    if best.holds:
        return ""
    return (
        f"no policy tried holds its SLO: the one written is short of capacity for {best.worst_short_s:.0f} s on its "
        f"worst day (allowed: {scaled.burst.short_s:.0f} s); plan more replicas or lower autoscaling.burst"
    )


def _checkpoint(one: Configuration, named: str | None, native: str, makes_fp8: bool) -> tuple[str, bool, str]:
    """What the engine loads, whether it quantises that to fp8 itself, and what is left to do."""
    if named is not None:
        return named, False, ""
    ids = [alias for alias, name in llm_aliases().items() if name == one.llm]
    if native.startswith(one.precision):
        return ids[0], False, ""
    for alias in ids:
        if any(hint in alias.lower() for hint in HINTS.get(one.precision, ())):
            return alias, False, ""
    if one.precision == "fp8" and native == "bf16" and makes_fp8:
        return ids[0], True, ""
    return ids[0], False, f"needs a checkpoint in {one.precision}: name it under autoscaling.models"
