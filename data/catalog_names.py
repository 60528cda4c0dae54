"""How GPUs, LLMs and engines are spelt: what of a name tells one from another."""

from __future__ import annotations

import re

VARIANT = re.compile(
    r"-(instruct|chat|it|hf|base|thinking|original|exp|preview|pt|\d{4}|\dbit|bnb|bf16|fp16|fp8|(nv)?fp4(-v\d)?|mxfp4|int4|int8"
    r"|awq|gptq|gguf|q\d_k_[sml]|dynamic|static|pertensor|block|kv|w\da\d+|quantized\.\w+|tput)$"
)
"""Endings of published names that do not change the architecture: training stage, date, quantisation."""
GPU_MEMORY = re.compile(r"(?P<gb>\d+)\s*-?gi?b\b")
GPU_NOISE = re.compile(r"nvidia|amd|intel|instinct|geforce|tesla|hgx|dgx|mega|tensor|core|gpu|hbm\d?e?|[\s_-]+")


def plain_name(name: str) -> str:
    """A published name without its organisation, training stage, date and quantisation, in lower case."""
    plain = name.rsplit("/", 1)[-1].lower().removeprefix("meta-").replace("_", "-")
    while (shorter := VARIANT.sub("", plain)) != plain:
        plain = shorter
    return plain


def joined(plain: str) -> str:
    """A plain name without separators: `llama3.1-70b` and `llama-3.1-70b` are one, as are `h100sxm` and `h100-sxm`."""
    return re.sub(r"[\s_-]", "", plain)


def spelt(name: str) -> str:
    """A name in lower case with single dashes between its words."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower())


def gpu_parts(name: str) -> tuple[frozenset[str], float]:
    """What tells one GPU from another in a long name, and the memory it states in GB (0 for none).

    `NVIDIA H100 SXM5 80GB HBM3` is h, 100 and sxm with 80 GB; the vendor and the kind of memory say nothing more.
    """
    text = name.lower()
    stated = GPU_MEMORY.search(text)
    text = GPU_NOISE.sub(" ", GPU_MEMORY.sub(" ", text))
    text = re.sub(r"(sxm|oam)\d?", r" \1 ", text)
    return frozenset(re.findall(r"[a-z]+|\d+", text)), float(stated["gb"]) if stated else 0.0


def plain_engine(name: str) -> str:
    """A name without separators, version and what is around the engine (Dynamo, the PyTorch backend)."""
    return re.sub(r"[\s_-]|v?\d[\d.]*$|dynamo|pytorch", "", name.lower())
