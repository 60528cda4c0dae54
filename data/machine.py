"""What of the machine this process may use. Standard library only."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that this process may use, which in a container or under taskset are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
