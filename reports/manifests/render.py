"""All files of a plan's manifests by path: the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import InputError
from reports.manifests import scalers, texts, workload
from reports.manifests.names import dns_name
from reports.manifests.nodes import OWN
from reports.manifests.pool import PoolManifest
from reports.manifests.yaml_text import documents

NOTES = (
    "Apply one of keda/ and hpa/ beside deployment/, never both: two scalers would undo each other's work.",
    "kserve/ stands instead of deployment/ and keda/: it holds the InferenceService, its budget of disruptions and its "
    "own ScaledObject.",
    "standby/ holds the standby nodes of policies that have them; its pods yield to the pool's own.",
    "Gated weights need a token: add HF_TOKEN from a Secret of your own to the engine's environment.",
    "hpa/ needs a metrics adapter that serves `fleetcast_signal` by the query in each object's annotation.",
)


DEALT = (
    "Capacities count on requests dealt to a pool's replicas one by one (evaluate.routing: round_robin). A Service "
    "picks a replica at random, for a whole connection: put a gateway that balances requests before it, or plan with "
    "random."
)


def render(
    plan: Mapping[str, Any],
    pools: Sequence[PoolManifest],
    quotas: Mapping[str, Mapping[str, int]],
    routing: str = "random",
) -> dict[str, str]:
    """Relative path -> text, in order of path; routing: what capacities count on. Raises InputError where two pools
    come to the same name."""
    files: dict[str, str] = {}

    def add(path: str, text: str) -> None:
        if path in files:
            raise InputError(path, "pools that differ in LLM, GPU, precision, parallelism or region", "two alike", "")
        files[path] = text

    for pool in pools:
        place = dns_name(pool.region)
        whole = [workload.deployment(pool), workload.service(pool), workload.disruption_budget(pool)]
        if pool.policy is not None and pool.policy.standby_nodes > 0:
            add(f"{place}/standby/{pool.name}.yaml", documents(workload.standby(pool, pool.policy.standby_nodes)))
        add(f"{place}/deployment/{pool.name}.yaml", documents(whole))
        served: list[Any] = [workload.inference_service(pool), workload.disruption_budget(pool)]
        if pool.policy is not None:
            add(f"{place}/keda/{pool.name}.yaml", documents([scalers.scaled_object(pool, pool.policy, kserve=False)]))
            add(f"{place}/hpa/{pool.name}.yaml", documents([scalers.horizontal_pod_autoscaler(pool, pool.policy)]))
            add(f"{place}/plain/{pool.name}.json", texts.scaler(pool, scalers.signal_query(pool, pool.policy)))
            served.append(scalers.scaled_object(pool, pool.policy, kserve=True))
        add(f"{place}/kserve/{pool.name}.yaml", documents(served))
    add("quota-request.md", texts.quota_request(plan, quotas))
    add("budgets.json", texts.budgets(plan))
    own = sorted({(pool.gpu, pool.nodes[OWN]) for pool in pools if OWN in pool.nodes})
    labels = [f"Nodes with {gpu} must carry the label {OWN}: {value}." for gpu, value in own]
    told = [f"{pool.name}: {text}" for pool in pools for text in (pool.checkpoint, pool.scaling_doubt) if text]
    notes = [*NOTES, *([DEALT] if routing == "round_robin" else []), *labels, *told]
    add("index.json", texts.index(pools, sorted(files), notes))
    return dict(sorted(files.items()))
