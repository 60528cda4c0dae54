"""A break-even tells when it is short and how old what it rests on is."""

from __future__ import annotations

import io
import json
from datetime import date

from rich.console import Console

from data.api_prices import load_api_prices
from data.records import SloTarget, Source
from flows.breakeven import GpuPrice, choose, compare
from flows.show_breakeven import breakeven_json, show_breakeven
from flows.size import Question

TODAY = date(2026, 11, 21)


def test_a_break_even_says_when_it_is_short_and_how_old_its_prices_are() -> None:
    question = Question(
        "Llama-3.1-8B", "H100-SXM", "bf16", 1, "vllm", 1000, 200, SloTarget(2.0, 0.06, 95.0), prefix_share=0.0
    )
    price = GpuPrice(2.0, "here", "on_demand", Source("my contract", "2026-10-22"))
    apis = choose(load_api_prices(), "Llama-3.1-8B", ())
    found = compare(question, price, apis, 1e5)
    console = Console(width=200, record=True, file=io.StringIO())
    show_breakeven(console, found, TODAY)
    text = console.export_text()
    assert "short in hours over 2 times the day's mean, or with more than 1 of its replicas gone" in text
    assert "GPU price up to 30 days old (2026-10-22)" in text
    ages = {one["kind"]: one for one in json.loads(breakeven_json(found, TODAY))["assumption_ages"]}
    assert ages["API prices"]["count"] == len(apis)
    assert ages["cost assumptions"]["oldest"] == "2024-05"
    alone = compare(question, price, apis, 1e5, bare=True)
    kinds = {one["kind"] for one in json.loads(breakeven_json(alone, TODAY))["assumption_ages"]}
    assert kinds == {"GPU price", "API prices", "GPU figures"}
