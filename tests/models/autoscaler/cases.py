"""A replica and loads that tests share."""

from __future__ import annotations

import numpy as np

from data.records import FloatArray
from data.scaling_records import LoadTrace, ReplicaFacts, StartUp


def replica(knee_rps: float = 10.0, saturation: float = 1.3, max_queue: float = 64.0) -> ReplicaFacts:
    """A replica whose lines bend where those of a service curve do."""
    load = np.linspace(0.0, saturation, 14)
    return ReplicaFacts(
        knee_rps=knee_rps,
        operating_rps=0.85 * knee_rps,
        saturation_rps=saturation * knee_rps,
        ttft_slack_s=2.0,
        max_queue=max_queue,
        tokens_running=1200.0,
        tokens_waiting=1000.0,
        load=load,
        running=np.interp(load, [0.0, 1.0, saturation], [0.0, 40.0, 64.0]),
        kv_share=np.interp(load, [0.0, saturation], [0.0, 0.9]),
        within_slo=np.interp(load, [0.0, 0.8, 1.0, saturation], [1.0, 1.0, 0.95, 0.5]),
        waiting=np.interp(load, [0.0, 0.6, 1.0, saturation], [0.0, 0.2, 3.0, 3.0]),
    )


START = StartUp(node_s=180.0, image_s=60.0, weights_s=60.0, warm_up_s=30.0, drain_s=30.0)


def trace(rps: FloatArray, step_s: float = 1.0, start: int = 5, expected: FloatArray | None = None) -> LoadTrace:
    """A load without noise that was expected as it came."""
    return LoadTrace("load", step_s, rps * step_s, rps if expected is None else expected, start)
