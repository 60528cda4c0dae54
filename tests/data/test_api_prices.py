"""API prices: the catalog is dated, LiteLLM's file is read as LiteLLM bills by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import InputError
from data.api_prices import load_api_prices, read_litellm
from data.catalog import load_llms


def test_the_catalog_is_dated_and_knows_its_llms() -> None:
    rows = load_api_prices()
    assert len(rows) > 50
    assert all(row.source.as_of and row.source.citation for row in rows)
    assert {row.llm for row in rows if row.llm} <= set(load_llms())
    assert len({row.key for row in rows}) == len(rows)


CHAT = {"litellm_provider": "p", "mode": "chat"}
FILE = {
    "sample_spec": {"input_cost_per_token": 0.0, "mode": "one of: chat, embedding"},
    "fallback_generalizations": {"rules": []},
    "p/plain": CHAT | {"input_cost_per_token": 2e-06, "output_cost_per_token": "8e-06"},
    "p/tiered": CHAT
    | {
        "input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06,
        "cache_read_input_token_cost": 1e-07, "input_cost_per_token_above_200k_tokens": 2e-06,
        "output_cost_per_token_above_200k_tokens": 6e-06, "supports_vision": True,
    },
    "p/free": CHAT | {"input_cost_per_token": 0, "output_cost_per_token": 0},
    "p/embed": CHAT | {"mode": "embedding", "input_cost_per_token": 1e-08, "output_cost_per_token": 0},
    "p/image": CHAT | {"mode": "image_generation", "output_cost_per_image": 0.04},
    "p/null": {"litellm_provider": None, "input_cost_per_token": None, "output_cost_per_token": 3e-06},
}  # fmt: skip


def test_litellms_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(FILE), encoding="utf-8")
    found = {one.key: one for one in read_litellm(path, "2026-11-20")}
    assert set(found) == {"p/plain", "p/tiered", "p/null"}
    assert found["p/plain"].usd_per_request(1e6, 1e6) == pytest.approx(10.0)
    tiered = found["p/tiered"]
    assert tiered.usd_per_request(100_000, 1000, 50_000) == pytest.approx(50_000e-6 + 50_000e-7 + 1000 * 4e-6)
    assert tiered.usd_per_request(300_000, 1000) == pytest.approx(300_000 * 2e-6 + 1000 * 6e-6)
    assert tiered.source.as_of == "2026-11-20"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": {"mode": "chat"}}', "not json"])
def test_what_is_no_price_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="model_prices_and_context_window"):
        read_litellm(path, "2026")
