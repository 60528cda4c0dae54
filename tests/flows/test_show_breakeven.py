"""A break-even tells how old its prices are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from data.records import Source
from flows.show_breakeven import ages_line


@dataclass(frozen=True)
class Priced:
    source: Source


@dataclass(frozen=True)
class Row:
    api: Priced


@dataclass(frozen=True)
class Found:
    price: Priced
    rows: tuple[Row, ...]


def line(gpu: str, *apis: str) -> str:
    rows = tuple(Row(Priced(Source("list", as_of))) for as_of in apis)
    return ages_line(cast(Any, Found(Priced(Source("list", gpu)), rows)), date(2026, 11, 21))


def test_the_oldest_price_is_named_and_undated_ones_counted() -> None:
    assert line("2026-11-01", "2026-10-22", "2026-11").startswith("Prices: oldest 30 days (API), 0 undated")
    assert line("2025", "2026-11").startswith("Prices: oldest 689 days (GPU), 0 undated")
    assert line("declared", "undated").startswith("Prices: none dated, 2 undated")
