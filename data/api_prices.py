"""What providers charge for tokens: the catalog, and LiteLLM's `model_prices_and_context_window.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.api_prices import ApiPriceCatalog
from configs.errors import InputError
from configs.validation import validated
from configs.yaml_files import load_yaml
from data.records import Source

CATALOG = Path(__file__).parent / "catalog" / "api_prices.yaml"
TOKENS_PER_MTOK = 1e6
ABOVE = re.compile(r"^(input|output)_cost_per_token_above_(\d+)k_tokens$")


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """US dollars for a million tokens. tiers: prompt tokens above which (input, output) prices replace the first."""

    key: str
    provider: str
    llm: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_usd_per_mtok: float
    """Cached input; the input price where the provider has no other."""
    source: Source
    tiers: tuple[tuple[int, float, float], ...] = ()

    def usd_per_request(self, input_tokens: float, output_tokens: float, cached_tokens: float = 0.0) -> float:
        """What one request costs, cached_tokens of its input read from the provider's cache."""
        inputs, outputs, cached = self.input_usd_per_mtok, self.output_usd_per_mtok, self.cached_usd_per_mtok
        for above, tier_input, tier_output in self.tiers:
            if input_tokens > above:
                cached *= tier_input / inputs if inputs else 1.0
                inputs, outputs = tier_input, tier_output
        paid = (input_tokens - cached_tokens) * inputs + cached_tokens * cached + output_tokens * outputs
        return paid / TOKENS_PER_MTOK


def load_api_prices(path: Path = CATALOG) -> tuple[ApiPrice, ...]:
    """The rows of a catalog in Fleetcast's YAML; InputError where one names no source."""
    catalog = validated(ApiPriceCatalog, load_yaml(path), str(path))
    found = []
    for number, row in enumerate(catalog.rows, start=1):
        if row.source not in catalog.sources:
            known = ", ".join(catalog.sources)
            fix = "Name a source of this file."
            raise InputError(f"{path}, rows[{number}].source", f"one of {known}", repr(row.source), fix)
        source = catalog.sources[row.source]
        cached = row.input_usd_per_mtok if row.cached_usd_per_mtok is None else row.cached_usd_per_mtok
        found.append(
            ApiPrice(
                row.key, row.provider, row.llm or "", row.input_usd_per_mtok, row.output_usd_per_mtok, cached,
                Source(source.citation, source.as_of),
            )
        )  # fmt: skip
    return tuple(found)


def read_litellm(path: Path, as_of: str) -> tuple[ApiPrice, ...]:
    """Chat and completion prices of a LiteLLM price file, which is true as of a day the user says.

    Entries without token prices (images, audio, embeddings), free ones and its documentation entries are passed over.
    Raises InputError where the file is not such a mapping or holds no price.
    """
    fix = "Pass LiteLLM's model_prices_and_context_window.json."
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(path), "a JSON file", str(error), fix) from None
    if not isinstance(raw, Mapping):
        raise InputError(str(path), "a mapping of model names to prices", type(raw).__name__, fix)
    source = Source(f"{path.name}, LiteLLM's price file", as_of)
    found = []
    for key, entry in raw.items():
        if key in ("sample_spec", "fallback_generalizations") or not isinstance(entry, Mapping):
            continue
        if entry.get("mode", "chat") not in ("chat", "completion", "responses"):
            continue
        inputs, outputs = _number(entry, "input_cost_per_token"), _number(entry, "output_cost_per_token")
        if inputs <= 0.0 and outputs <= 0.0:
            continue
        cached = _number(entry, "cache_read_input_token_cost", inputs)
        provider = str(entry.get("litellm_provider") or "unknown")
        scaled = (inputs * TOKENS_PER_MTOK, outputs * TOKENS_PER_MTOK, cached * TOKENS_PER_MTOK)
        found.append(ApiPrice(str(key), provider, "", *scaled, source, _tiers(entry, inputs, outputs)))
    if not found:
        raise InputError(str(path), "entries with input_cost_per_token", "none", fix)
    return tuple(found)


def _number(entry: Mapping[str, Any], name: str, otherwise: float = 0.0) -> float:
    """A price of an entry; LiteLLM writes some as text."""
    value = entry.get(name)
    try:
        return otherwise if value is None else float(value)
    except (TypeError, ValueError):
        return otherwise


def _tiers(entry: Mapping[str, Any], inputs: float, outputs: float) -> tuple[tuple[int, float, float], ...]:
    """Prices of long prompts, by threshold."""
    levels: dict[int, dict[str, float]] = {}
    for name in entry:
        match = ABOVE.match(str(name))
        if match:
            levels.setdefault(int(match[2]) * 1000, {})[match[1]] = _number(entry, str(name))
    return tuple(
        (above, level.get("input", inputs) * TOKENS_PER_MTOK, level.get("output", outputs) * TOKENS_PER_MTOK)
        for above, level in sorted(levels.items())
    )
