"""A pool's Deployment, Service and PodDisruptionBudget, and the same pool as a KServe InferenceService."""

from __future__ import annotations

import math

from reports.manifests.engines import PORT, command
from reports.manifests.pool import APP, PoolManifest
from reports.manifests.yaml_text import Value

PROBE_S = 10
NODE_LABELS = {"topology.kubernetes.io/zone": "ScheduleAnyway", "kubernetes.io/hostname": "ScheduleAnyway"}
CPUS_PER_GPU, MEMORY_GIB_PER_GPU, SHM_GIB_PER_GPU = 6, 48, 8
"""Requests beside the GPUs (assumption, 2026-11): an eighth of a common 8-GPU node of 96 cores or more."""


def metadata(pool: PoolManifest, suffix: str = "") -> dict[str, Value]:
    """Name, namespace, labels and annotations of an object of the pool."""
    return {
        "name": pool.name + suffix,
        "namespace": pool.namespace,
        "labels": pool.labels,
        "annotations": pool.annotations,
    }


def container(pool: PoolManifest, name: str) -> dict[str, Value]:
    """The engine: its arguments, GPUs, ports and probes."""
    face = pool.serving.engine
    # Kubernetes itself would read $(NAME) as a variable.
    whole = [word.replace("$", "$$") for word in command(pool.serving)]
    resources: dict[str, Value] = {
        "cpu": str(CPUS_PER_GPU * pool.gpus),
        "memory": f"{MEMORY_GIB_PER_GPU * pool.gpus}Gi",
        pool.gpu_resource: str(pool.gpus),
    }
    alive: dict[str, Value] = {"path": face.health, "port": PORT}
    return {
        "name": name,
        "image": pool.image,
        "command": whole[:1],
        "args": whole[1:],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"requests": resources, "limits": resources},
        # Twice the planned start: a slow disk is not a broken replica.
        "startupProbe": {
            "httpGet": alive,
            "periodSeconds": PROBE_S,
            "failureThreshold": math.ceil(2.0 * pool.start_s / PROBE_S) + 6,
        },
        "readinessProbe": {"httpGet": alive, "periodSeconds": PROBE_S, "failureThreshold": 3},
        "livenessProbe": {"httpGet": alive, "periodSeconds": 3 * PROBE_S, "failureThreshold": 5},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
        "securityContext": {"allowPrivilegeEscalation": False},
    }


def pod(pool: PoolManifest, name: str) -> dict[str, Value]:
    """The pod's spec: spread over zones and nodes, tolerant of GPU nodes' taint, drained before it goes."""
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": max(round(pool.drain_s), 30),
        "nodeSelector": pool.nodes,
        "tolerations": [{"key": pool.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                # A zone's loss is planned for only where the pool is spread over zones.
                "whenUnsatisfiable": "DoNotSchedule" if pool.zones > 1 and "zone" in key else otherwise,
                "labelSelector": {"matchLabels": pool.selector},
            }
            for key, otherwise in NODE_LABELS.items()
        ],
        "containers": [container(pool, name)],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SHM_GIB_PER_GPU * pool.gpus}Gi"}}],
    }


def deployment(pool: PoolManifest) -> dict[str, Value]:
    """The pool as a Deployment. Where a scaler owns the number of replicas, none stands here: applying the manifest
    again must not undo what it did."""
    replicas: dict[str, Value] = {} if pool.policy is not None else {"replicas": pool.replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(pool),
        "spec": {
            **replicas,
            "selector": {"matchLabels": pool.selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _rollout(pool)},
            # Until a slow start is over it is no failed rollout.
            "progressDeadlineSeconds": max(600, math.ceil(4.0 * pool.start_s)),
            "template": {
                "metadata": {"labels": pool.labels, "annotations": _scrape(pool) | pool.annotations},
                "spec": pod(pool, "engine"),
            },
        },
    }


def _rollout(pool: PoolManifest) -> dict[str, Value]:
    """Beside the running replicas where the plan holds room for it; else in place of those that may be lost: a surge
    without GPUs would wait for ever."""
    if pool.surge > 0:
        return {"maxSurge": pool.surge, "maxUnavailable": 0}
    return {"maxSurge": 0, "maxUnavailable": max(pool.disrupted_max, 1)}


def standby(pool: PoolManifest, replicas: int) -> list[dict[str, Value]]:
    """Room for replicas that are not there yet: pods that hold the GPUs and the engine's image, do nothing, and give
    way to any pod of the pool; the cluster's autoscaler then fills the room up again."""
    name = f"{pool.name}-standby"
    labels = pool.labels | {f"{APP}name": name, f"{APP}component": "standby"}
    selector = pool.selector | {f"{APP}name": name}
    known = metadata(pool, "-standby") | {"labels": labels}
    held = container(pool, "standby")
    kept = {key: held[key] for key in ("name", "image", "resources", "securityContext")}
    spec = {key: value for key, value in pod(pool, "standby").items() if key in ("nodeSelector", "tolerations")}
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name, "labels": labels, "annotations": pool.annotations},
            "value": -10,
            "preemptionPolicy": "Never",
            "globalDefault": False,
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": known,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": selector},
                "template": {
                    "metadata": {"labels": labels, "annotations": pool.annotations},
                    "spec": {
                        **spec,
                        "automountServiceAccountToken": False,
                        "terminationGracePeriodSeconds": 0,
                        "priorityClassName": name,
                        "containers": [{**kept, "command": ["sleep"], "args": ["infinity"]}],
                    },
                },
            },
        },
    ]


def service(pool: PoolManifest) -> dict[str, Value]:
    """A stable address in front of the pool."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(pool),
        "spec": {
            "type": "ClusterIP",
            "selector": pool.selector,
            "ports": [{"name": "http", "port": 80, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def disruption_budget(pool: PoolManifest) -> dict[str, Value]:
    """No more replicas drained at once than the plan can lose (its N+k), and one at least so that nodes can be."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(pool),
        "spec": {"maxUnavailable": max(pool.disrupted_max, 1), "selector": {"matchLabels": pool.selector}},
    }


def inference_service(pool: PoolManifest) -> dict[str, Value]:
    """The same pool under KServe without Knative; its Deployment is `NAME-predictor`, scaled from outside by the
    ScaledObject beside it."""
    policy = pool.policy
    modes = {
        "serving.kserve.io/deploymentMode": "RawDeployment",
        "serving.kserve.io/autoscalerClass": "none" if policy is None else "external",
    }
    known = metadata(pool)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {**known, "annotations": pool.annotations | modes},
        "spec": {
            "predictor": {
                "minReplicas": pool.replicas if policy is None else policy.min_replicas,
                "maxReplicas": pool.replicas if policy is None else policy.max_replicas,
                "labels": pool.labels,
                "annotations": _scrape(pool),
                # KServe looks for a container of this name.
                **pod(pool, "kserve-container"),
            }
        },
    }


def _scrape(pool: PoolManifest) -> dict[str, str]:
    face = pool.serving.engine
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORT),
        "prometheus.io/path": face.metrics,
    }
