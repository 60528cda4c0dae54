"""A catalog of one's own: entries join the product's, those of the same name take their place, mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import InputError
from configs.planning import Market, Region
from data.catalog import find_engine, find_gpu, find_llm, load_engines, load_gpus, load_llms
from data.own_catalog import FILES, FOLDER, OWN
from data.prices import load_prices, offers
from flows.provenance import catalog_hashes

GPU = (
    "{vendor: us, like: H100-SXM, also: [X100], memory_mib: 100000, bandwidth_gb_per_s: 4000, link: nvlink,\n"
    "    dense_tflops: {bf16: 1000, fp8: 2000}, link_gb_per_s: 450, tdp_w: 700, source: sheet}"
)
SHEET = "sources: {sheet: {citation: our lab's sheet, as_of: '2026-11-01'}}\n"
PRICES = """currency: USD
sources: {deal: {citation: our contract, as_of: "2026-11-01", quality: list}}
rows:
  - {provider: aws, region: us-east-1, sku: s, gpu: H100-SXM, gpus_per_sku: 8, option: on_demand, usd_per_gpu_h: 9.5,
     source: deal}
  - {provider: aws, region: us-east-1, sku: s, gpu: X100-SXM, gpus_per_sku: 8, option: on_demand, usd_per_gpu_h: 5.0,
     source: deal}
"""
Own = Callable[..., Path]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    """Writes files (`gpus="..."`) into a folder and names it in the environment."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        monkeypatch.setenv(OWN, str(tmp_path))
        return tmp_path

    return write


def test_own_gpus_join_the_products_and_take_the_place_of_their_like(own: Own) -> None:
    product = dict(load_gpus())
    own(gpus=f"{SHEET}gpus:\n  X100-SXM: {GPU}\n  L4: {GPU.replace('X100', 'L4 of ours')}\n")
    assert load_gpus().keys() == {*product, "X100-SXM"}
    assert find_gpu("x100").name == "X100-SXM"
    assert find_gpu("x100").source.citation == "our lab's sheet"
    assert (load_gpus()["L4"].memory_bytes, load_gpus()["L40S"]) == (
        100000 * 2**20,
        product["L40S"],
    )


def test_own_llms_and_engines_are_found_by_their_names(own: Own) -> None:
    llms, engines = load_llms(), load_engines()
    own(
        llms=SHEET + "llms: {Ours-7B: {hugging_face: [us/ours-7b], layers: 32, hidden: 4096, heads: 32, kv_heads: 8,\n"
        "  head_dim: 128, intermediate: 11008, vocab: 32000, source: sheet}}\n",
        engines=SHEET + "engines: {ours: {version: '1', gpu_memory_utilization: 0.9, memory_rule: share_of_total,\n"
        "  max_num_seqs: 64, max_num_batched_tokens: 2048, kv_block_tokens: 16, graph_gib: 0, communication_gib: 0,\n"
        "  fragmentation_gib: 0, host_overhead_ms: 1, source: sheet}}\n",
    )
    assert find_llm("us/Ours-7B-Instruct").name == "Ours-7B"
    assert find_engine("Ours 1.0").name == "ours"
    assert (len(load_llms()), len(load_engines())) == (len(llms) + 1, len(engines) + 1)


def test_own_prices_take_the_place_of_the_lists(own: Own) -> None:
    markets = {"r": Region(markets=(Market(provider="aws", region="us-east-1"),))}
    options = ("on_demand", "reserved_3y")

    def bought() -> dict[tuple[str, str], float]:
        found = offers(markets, ["H100-SXM", "X100-SXM"], options, load_prices())
        return {(one.gpu, one.option): one.usd_per_gpu_h for one in found}

    listed = bought()
    own(prices=PRICES)
    # Dearer than the list, and still the price: it is what is paid.
    expected = listed | {("H100-SXM", "on_demand"): 9.5, ("X100-SXM", "on_demand"): 5.0}
    assert listed["H100-SXM", "on_demand"] != 9.5
    assert bought() == expected
    (mine,) = (one for one in offers(markets, ["X100-SXM"], options, load_prices()))
    assert (mine.source.citation, mine.source.as_of) == ("our contract", "2026-11-01")


def test_own_files_are_part_of_the_fingerprint(own: Own) -> None:
    product = catalog_hashes()
    own(prices=PRICES)
    assert catalog_hashes().items() > product.items()
    assert catalog_hashes().keys() - product.keys() == {"own catalog/prices.yaml"}
    assert set(FILES) <= {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "none of them"),
        ({"gpu": "gpus: {}"}, r"gpu\.yaml"),
        ({"gpus": f"{SHEET}gpus: {{X: {GPU.replace('H100-SXM', 'H900')}}}\n"}, r"gpus\.X\.like.*H900"),
        ({"gpus": f"{SHEET}gpus: {{X: {GPU.replace('source: sheet', 'source: none')}}}\n"}, r"gpus\.X\.source"),
        ({"gpus": "gpus: {X: {vendor: us}}\n"}, r"gpus\.yaml"),
    ],
)
def test_mistakes_name_the_file_and_the_field(own: Own, files: dict[str, str], said: str) -> None:
    own(**files)
    with pytest.raises(InputError, match=said):
        load_gpus()


def test_a_folder_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(OWN, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"FLEETCAST_CATALOG=.*nowhere.*unset it"):
        load_prices()
