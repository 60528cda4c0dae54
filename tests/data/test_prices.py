"""The price catalog: sources, dates, offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import InputError
from configs.planning import Market, Region
from data.prices import load_prices, offers

AWS = Region(markets=(Market(provider="aws", region="us-east-1"),))


def test_every_row_has_a_dated_source_and_second_hand_rows_say_so() -> None:
    catalog = load_prices()
    assert len(catalog.rows) >= 50
    for row in catalog.rows:
        source = catalog.sources[row.source]
        assert source.citation
        assert source.as_of
        if row.provider in ("gcp", "azure") or row.option in ("reserved_1y", "capacity_block"):
            assert source.quality == "second_hand"


def test_offers_are_the_cheapest_market_of_each_option() -> None:
    both = Region(markets=(*AWS.markets, Market(provider="lambda", region="us-east-1")))
    catalog = load_prices()
    found = {(o.gpu, o.option): o for o in offers({"r": both}, ["H100-SXM"], ["on_demand", "reserved_3y"], catalog)}
    on_demand = [
        row.usd_per_gpu_h
        for row in catalog.rows
        if (row.provider, row.region) in {("aws", "us-east-1"), ("lambda", "us-east-1")}
        and row.gpu == "H100-SXM"
        and row.option == "on_demand"
    ]
    assert found["H100-SXM", "on_demand"].usd_per_gpu_h == min(on_demand)
    assert found["H100-SXM", "on_demand"].provider == "lambda"
    assert found["H100-SXM", "reserved_3y"].term_months == 36
    assert found["H100-SXM", "reserved_3y"].source.as_of == "2026-06-06"


def test_a_region_that_sells_nothing_names_the_markets() -> None:
    mars = Region(markets=(Market(provider="aws", region="mars-1"),))
    with pytest.raises(InputError, match=r"plan\.regions\.r\.markets.*aws/mars-1.*aws/us-east-1"):
        offers({"r": mars}, ["H100-SXM"], ["on_demand"], load_prices())


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(InputError, match="barter"):
        offers({"r": AWS}, ["H100-SXM"], ["barter"], load_prices())


def test_a_row_without_a_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(
        "currency: USD\nsources: {a: {citation: b, as_of: '2026', quality: list}}\n"
        "rows: [{provider: p, region: r, sku: s, gpu: g, gpus_per_sku: 1, option: spot, usd_per_gpu_h: 1,\n"
        "  source: z}]\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"rows\[1\]\.source.*'z'"):
        load_prices(path)
