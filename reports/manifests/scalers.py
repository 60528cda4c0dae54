"""A pool's scaler as KEDA ScaledObject and as HorizontalPodAutoscaler v2, both with the policy's own behaviour."""

from __future__ import annotations

import math
from collections.abc import Sequence

from data.scaling_records import Rate, ScalerPolicy
from reports.manifests.engines import query
from reports.manifests.pool import PoolManifest
from reports.manifests.workload import metadata
from reports.manifests.yaml_text import Value


def number(value: float) -> str:
    """A positive Kubernetes quantity without an exponent: at least three significant digits."""
    if value >= 1000.0:
        return f"{value:.0f}"
    return f"{value:.{max(3 - math.ceil(math.log10(value)), 0)}f}" if value < 100.0 else f"{value:.1f}"


def milli(value: float) -> str:
    """A quantity in thousandths, in which the HPA counts; 1 at least."""
    return f"{max(round(value * 1000.0), 1)}m"


def behavior(policy: ScalerPolicy) -> dict[str, Value]:
    """Stabilisation windows and rate policies."""
    return {
        "scaleUp": {"stabilizationWindowSeconds": round(policy.up_window_s), **_rate(policy.up)},
        "scaleDown": {"stabilizationWindowSeconds": round(policy.down_window_s), **_rate(policy.down)},
    }


def _rate(rate: Rate) -> dict[str, Value]:
    rules: list[Value] = []
    if rate.pods is not None:
        rules.append({"type": "Pods", "value": rate.pods, "periodSeconds": round(rate.pods_period_s)})
    if rate.percent is not None:
        rules.append({"type": "Percent", "value": round(rate.percent), "periodSeconds": round(rate.percent_period_s)})
    return {"selectPolicy": rate.select.capitalize(), "policies": rules} if rules else {}


def scale(policy: ScalerPolicy) -> float:
    """What signal and target are multiplied by: scalers count in thousandths, too coarse for small shares."""
    return 100.0 if policy.target < 1.0 else 1.0


def signal_query(pool: PoolManifest, policy: ScalerPolicy) -> str:
    """The policy's signal over the pool's pods, times its scale, its headroom added in the same unit."""
    # A window's mean is half a window old, an exponential one its time constant; less than a minute may miss scrapes.
    window_s = max(2.0 * policy.smoothing_s, 60.0)
    one = pool.serving
    plain = query(one.engine, policy.signal, pool.namespace, pool.name, pool.kv_tokens, window_s, one.data_parallel)
    by = scale(policy)
    whole = plain if by == 1.0 else f"({plain}) * {by:.0f}"
    return whole if policy.headroom == 0 else f"{whole} + {number(policy.headroom * policy.target * by)}"


def scaled_object(pool: PoolManifest, policy: ScalerPolicy, kserve: bool) -> dict[str, Value]:
    """KEDA's object on the Deployment, or on the one that KServe makes; the pool's schedule as cron triggers that begin
    a start-up early."""
    always = min(pool.schedule, default=0)
    triggers: list[Value] = [
        {
            "type": "prometheus",
            "name": "signal",
            "metricType": "AverageValue",
            "metadata": {
                "serverAddress": pool.prometheus,
                "query": signal_query(pool, policy),
                "threshold": number(policy.target * scale(policy)),
            },
        }
    ]
    triggers += [
        {
            "type": "cron",
            "name": f"forecast-{begin:02d}",
            "metadata": {
                "timezone": "Etc/UTC",
                "start": _cron(begin * 60 - round(policy.lead_s / 60.0)),
                "end": _cron(end * 60),
                "desiredReplicas": str(replicas),
            },
        }
        for begin, end, replicas in spans(pool.schedule)
        # What is wanted all day, or is the least anyway, needs no trigger.
        if replicas > max(policy.min_replicas, always)
    ]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(pool, "-kserve" if kserve else ""),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": f"{pool.name}-predictor" if kserve else pool.name,
            },
            "minReplicaCount": max(policy.min_replicas, always),
            "maxReplicaCount": policy.max_replicas,
            "pollingInterval": round(policy.interval_s),
            "cooldownPeriod": round(policy.down_window_s),
            # Without metrics the pool stays as large as it may be: too many replicas cost money, too few the promise.
            "fallback": {"failureThreshold": 3, "replicas": policy.max_replicas},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(policy)}},
            "triggers": triggers,
        },
    }


def spans(schedule: Sequence[int]) -> list[tuple[int, int, int]]:
    """Runs of equal hours: (first hour, hour after the last, replicas)."""
    found: list[tuple[int, int, int]] = []
    for hour, replicas in enumerate(schedule):
        if found and found[-1][2] == replicas:
            found[-1] = (found[-1][0], hour + 1, replicas)
        else:
            found.append((hour, hour + 1, replicas))
    return found


def _cron(minutes: int) -> str:
    """Minutes after midnight as a daily cron expression."""
    day = minutes % (24 * 60)
    return f"{day % 60} {day // 60} * * *"


def horizontal_pod_autoscaler(pool: PoolManifest, policy: ScalerPolicy) -> dict[str, Value]:
    """HPA v2 on an external metric `fleetcast_signal` that a metrics adapter serves; the query is in an annotation. It
    has no schedule: a forecast needs KEDA."""
    known = metadata(pool)
    notes = pool.annotations | {"fleetcast.io/query": signal_query(pool, policy)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {**known, "annotations": notes},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": pool.name},
            "minReplicas": max(policy.min_replicas, 1),
            "maxReplicas": policy.max_replicas,
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {"name": "fleetcast_signal", "selector": {"matchLabels": {"pool": pool.name}}},
                        "target": {"type": "AverageValue", "averageValue": milli(policy.target * scale(policy))},
                    },
                }
            ],
            "behavior": behavior(policy),
        },
    }
