"""What replicas served at their SLO, measured: a CSV of one row a configuration and request class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.errors import InputError
from data.actuals import header
from data.text_files import first_line, numbers, read_table

LABELS = ("llm", "gpu", "precision", "tensor_parallel", "request_class")


@dataclass(frozen=True, slots=True)
class MeasuredGoodput:
    """Requests/s that a replica held at the SLO, and the share of the time it was available (None: not given)."""

    llm: str
    gpu: str
    precision: str
    tensor_parallel: int
    request_class: str
    rps: float
    available: float | None


def read_goodput(path: Path) -> tuple[tuple[MeasuredGoodput, ...], str]:
    """Reads `llm, gpu, precision, tensor_parallel, request_class, measured_rps [, available]`, and the SHA-256.

    Raises InputError naming line and column; a goodput of 0 is an outage, not a goodput, and an error too.
    """
    optional = ["available"] if "available" in header(path) else []
    raw, digest = read_table(path, [*LABELS, "measured_rps", *optional])
    rps = numbers(path, raw["measured_rps"], "requests/s", least=1e-9)
    parallel = numbers(path, raw["tensor_parallel"], "GPUs a replica", least=1)
    share = numbers(path, raw["available"], "a share from 0 to 1") if optional else None
    if share is not None and (share > 1).any():
        line = first_line(share > 1)
        got = repr(raw["available"][line])
        raise InputError(f"{path}, line {line}, column 'available'", "a share from 0 to 1", got, "Correct the value.")
    twice = raw.duplicated(list(LABELS))
    if twice.any():
        raise InputError(
            f"{path}, line {first_line(twice)}", "one row a configuration and class", "a second", "Keep one."
        )
    found = tuple(
        MeasuredGoodput(
            raw["llm"][i],
            raw["gpu"][i],
            raw["precision"][i],
            int(parallel[i]),
            raw["request_class"][i],
            float(rps[i]),
            None if share is None else float(share[i]),
        )
        for i in raw.index
    )
    return found, digest
