"""The price catalog as offers in serving regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from configs.errors import InputError
from configs.planning import Region
from configs.prices import PriceCatalog, PriceRow
from configs.validation import validated
from configs.yaml_files import load_yaml
from data.own_catalog import catalog_files
from data.records import Offer, Source

TERM_MONTHS = {"on_demand": 0, "spot": 0, "capacity_block": 1, "reserved_1y": 12, "reserved_3y": 36}


def load_prices(path: Path | None = None) -> PriceCatalog:
    """The catalog in `path`, else the product's with one's own rows: these take the place of its rows of the same
    provider, region, GPU and option. Every row names a source with a date, or InputError."""
    if path is not None:
        return _read(path)
    found, *own = map(_read, catalog_files("prices.yaml"))
    for mine in own:
        # A source is told from one of the same key in the other file.
        sources = {f"own {key}": one for key, one in mine.sources.items()}
        rows = tuple(row.model_copy(update={"source": f"own {row.source}"}) for row in mine.rows)
        told = {_sold(row) for row in rows}
        kept = tuple(row for row in found.rows if _sold(row) not in told)
        found = found.model_copy(update={"sources": {**found.sources, **sources}, "rows": (*kept, *rows)})
    return found


def _sold(row: PriceRow) -> tuple[str, ...]:
    return (row.provider, row.region, row.gpu, row.option)


def _read(path: Path) -> PriceCatalog:
    catalog = validated(PriceCatalog, load_yaml(path), str(path))
    for number, row in enumerate(catalog.rows, start=1):
        if row.source not in catalog.sources:
            raise InputError(
                f"{path}, rows[{number}].source",
                f"one of {', '.join(catalog.sources)}",
                repr(row.source),
                "Name a source of this file.",
            )
    return catalog


def offers(
    regions: Mapping[str, Region], gpus: Iterable[str], options: Iterable[str], catalog: PriceCatalog
) -> tuple[Offer, ...]:
    """Every way to buy the given GPUs in the given regions, cheapest market of each (region, GPU, option).

    Sorted by region, GPU, option. A region without markets rents nothing; raises InputError where one that has some
    ends up with no way to buy anything.
    """
    wanted_gpus, wanted_options = set(gpus), set(options)
    unknown = wanted_options - TERM_MONTHS.keys()
    if unknown:
        raise InputError(
            "plan.purchase_options",
            f"names among {', '.join(TERM_MONTHS)}",
            ", ".join(sorted(unknown)),
            "Correct the names.",
        )
    best: dict[tuple[str, str, str], Offer] = {}
    for name, region in regions.items():
        markets = {(market.provider, market.region) for market in region.markets}
        for row in catalog.rows:
            if (row.provider, row.region) not in markets or row.gpu not in wanted_gpus:
                continue
            if row.option not in wanted_options:
                continue
            source = catalog.sources[row.source]
            offer = Offer(
                region=name,
                gpu=row.gpu,
                option=row.option,
                usd_per_gpu_h=row.usd_per_gpu_h,
                term_months=TERM_MONTHS[row.option],
                provider=row.provider,
                provider_region=row.region,
                source=Source(source.citation, source.as_of),
                quality=source.quality,
                gpus_per_node=row.gpus_per_sku,
                note=f"{row.sku}, {row.gpus_per_sku} GPU" + (f"; {source.note}" if source.note else ""),
            )
            key = (name, row.gpu, row.option)
            if key not in best or offer.usd_per_gpu_h < best[key].usd_per_gpu_h:
                best[key] = offer
        if markets and not any(key[0] == name for key in best):
            places = sorted({f"{row.provider}/{row.region}" for row in catalog.rows})
            raise InputError(
                f"plan.regions.{name}.markets",
                f"a market that sells one of {', '.join(sorted(wanted_gpus))}",
                ", ".join(f"{provider}/{place}" for provider, place in sorted(markets)),
                f"Markets in the catalog: {', '.join(places)}.",
            )
    return tuple(best[key] for key in sorted(best))
