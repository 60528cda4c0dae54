"""Calibrated catalogs as YAML of the catalog's own format: what data.catalog reads."""

from __future__ import annotations

import json

from configs.catalog_schema import CoefficientCatalog
from data.records import Engine
from data.units import GIB


def _text(value: object) -> str:
    # JSON is YAML; letters beyond ASCII stay as they are.
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    # YAML 1.1 takes 1e-05 for text: digits are written out.
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _row(values: dict[str, object]) -> str:
    cells = [f"{key}: {_number(v) if isinstance(v, float) else _text(v)}" for key, v in values.items()]
    return "  - {" + ", ".join(cells) + "}\n"


def coefficients_yaml(catalog: CoefficientCatalog) -> str:
    """The whole catalog, one row a line."""
    text = f"source: {{citation: {_text(catalog.source.citation)}, as_of: {_text(catalog.source.as_of)}}}\n"
    for name in ("gemm", "decode_attention", "prefill_attention", "all_reduce"):
        text += f"{name}:\n" + "".join(_row(row.model_dump()) for row in getattr(catalog, name))
    return text


def engines_yaml(engine: Engine, note: str) -> str:
    """One engine with its (calibrated) host overhead."""
    source = {"citation": engine.source.citation, "as_of": engine.source.as_of}
    entry = {
        "version": _text(engine.version),
        "gpu_memory_utilization": _number(engine.gpu_memory_utilization),
        "memory_rule": engine.memory_rule,
        "max_num_seqs": str(engine.max_num_seqs),
        "max_num_batched_tokens": str(engine.max_num_batched_tokens),
        "kv_block_tokens": str(engine.kv_block_tokens),
        "graph_gib": _number(engine.graph_bytes / GIB),
        "communication_gib": _number(engine.communication_bytes / GIB),
        "host_overhead_ms": _number(engine.host_overhead_s * 1e3),
        "source": "defaults",
        "note": _text(note),
    }
    lines = "".join(f"    {key}: {value}\n" for key, value in entry.items())
    return f"sources:\n  defaults: {_text(source)}\nengines:\n  {engine.name}:\n{lines}"
