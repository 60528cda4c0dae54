"""One pool as the manifests need it: from plan.json, the catalogs and, where there is one, its scaling."""

from __future__ import annotations

from dataclasses import dataclass

from data.scaling_records import ScalerPolicy
from reports.manifests.engines import Serving
from reports.manifests.names import dns_name, label_value
from reports.manifests.nodes import node_label

APP = "app.kubernetes.io/"
OURS = "fleetcast.io/"


@dataclass(frozen=True, slots=True)
class PoolManifest:
    """One pool: whose, where, how many replicas, what starts one, how it scales.

    disrupted_max: replicas that may be gone at once by choice, the pool's N+k; surge: replicas beyond its own that the
    plan holds for rollouts; zones: places to spread over;
    start_s: seconds until a started container serves (weights and warm-up); drain_s: seconds it is given to finish.
    """

    scenario: str
    llm: str
    request_classes: tuple[str, ...]
    region: str
    gpu: str
    precision: str
    gpus: int
    gpu_resource: str
    replicas: int
    disrupted_max: int
    surge: int
    zones: int
    serving: Serving
    image: str
    namespace: str
    prometheus: str
    kv_tokens: float
    """That the cache of one of its schedulers holds."""
    start_s: float
    drain_s: float
    policy: ScalerPolicy | None
    driver_name: str | None = None
    """What nvidia-smi calls the GPU; None where that is not known."""
    schedule: tuple[int, ...] = ()
    checkpoint: str = ""
    """What must be seen to before the engine can load the weights as planned; empty where nothing."""
    scaling_doubt: str = ""
    """Why its scaler must not be trusted, or that it has none; empty where it holds the SLO."""

    @property
    def name(self) -> str:
        one = self.serving
        more = {"pp": one.pipeline_parallel, "dp": one.data_parallel, "ep": one.expert_parallel}
        ways = "".join(f"{name}{many}" for name, many in more.items() if many > 1)
        shape = f"{self.precision}tp{one.tensor_parallel}{ways}"
        # Room for what KServe and KEDA add to it.
        return dns_name(self.llm, self.gpu, shape, self.region, most=45)

    @property
    def labels(self) -> dict[str, str]:
        return {
            f"{APP}name": self.name,
            f"{APP}component": "inference",
            f"{APP}managed-by": "fleetcast",
            f"{OURS}llm": label_value(self.llm),
            f"{OURS}gpu": label_value(self.gpu),
            f"{OURS}region": label_value(self.region),
            f"{OURS}scenario": label_value(self.scenario),
        }

    @property
    def nodes(self) -> dict[str, str]:
        """The label of nodes that have the GPU."""
        return node_label(self.gpu, self.driver_name)

    @property
    def selector(self) -> dict[str, str]:
        """Labels that never change: a Deployment's selector is immutable."""
        return {f"{APP}name": self.name, f"{APP}managed-by": "fleetcast"}

    @property
    def annotations(self) -> dict[str, str]:
        """What labels cannot hold, as it was written."""
        return {
            f"{OURS}llm-name": self.llm,
            f"{OURS}classes": ", ".join(self.request_classes),
            f"{OURS}region-name": self.region,
            **({f"{OURS}checkpoint": self.checkpoint} if self.checkpoint else {}),
        }
