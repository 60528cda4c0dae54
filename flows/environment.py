"""Process settings that must be in place before Prefect or JAX is imported."""

from __future__ import annotations

import os
from pathlib import Path

STATE = Path(os.environ.get("FLEETCAST_STATE", ".fleetcast"))


def prepare(state: Path = STATE) -> None:
    """Quiet, offline and local by default; every setting yields to one already in the environment.

    Prefect keeps its server state inside `state`, sends nothing anywhere and logs nothing to the terminal (the
    command line reports progress and errors itself). JAX keeps compiled kernels in `state` between runs.
    """
    folder = state.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(folder / "prefect"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLI_COLORS": "false",
        "DASK_LOGGING__DISTRIBUTED": "error",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        # The matrices here are small: more BLAS threads only spin against each other on a shared machine, and one
        # thread keeps sums, and so plans, the same on every core count.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # Without a CUDA plugin JAX would print a warning about the CPU fallback on machines with a GPU driver.
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    for key, value in defaults.items():
        os.environ.setdefault(key, value)
