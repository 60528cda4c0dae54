"""The catalogs: every entry usable and sourced, found by the names people use; wrong ones name row and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import InputError
from data.catalog import FOLDER, find_gpu, find_llm, load_coefficients, load_engines, load_gpus, load_llms, plain_name


@pytest.mark.parametrize("name", sorted(load_gpus()))
def test_gpus_are_sane(name: str) -> None:
    gpu = load_gpus()[name]
    rates = gpu.dense_flops
    assert gpu.source.citation
    assert not gpu.like or any(fit.gpu == gpu.like for fit in load_coefficients().gemm)
    assert "bf16" in rates
    assert rates.get("fp8", rates["bf16"]) >= rates["bf16"]
    assert rates.get("fp4", rates.get("fp8", 0.0)) >= rates.get("fp8", 0.0)
    # Between 10 and 400 FLOP for a byte: an entry outside mixed up units or sparsity.
    assert 10 < rates["bf16"] / gpu.memory_bandwidth_bytes_per_s < 500
    assert 4e9 < gpu.memory_bytes < 400e9
    assert 50 < gpu.tdp_w < 2000


def test_what_a_gpu_computes_in() -> None:
    fp8 = {name for name, gpu in load_gpus().items() if "fp8" in gpu.dense_flops}
    assert not {"A100-80GB-SXM", "A100-40GB-PCIe", "A10G", "A30"} & fp8
    assert {"H100-SXM", "L4", "L40S", "RTX4090", "MI300X", "H20"} <= fp8
    fp4 = {name for name, gpu in load_gpus().items() if "fp4" in gpu.dense_flops}
    assert fp4 == {
        "B200-SXM", "B300-SXM", "GB200", "GB300", "RTX-PRO-6000-Server", "RTX-PRO-6000-Workstation", "RTX5090",
        "MI350X", "MI355X",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(load_llms()))
def test_llms_are_sane(name: str) -> None:
    llm = load_llms()[name]
    assert llm.source.citation
    assert llm.heads % llm.kv_heads == 0
    assert llm.sliding_layers + llm.state_layers + llm.dense_layers <= 2 * llm.layers
    assert (llm.sliding_window > 0) == (llm.sliding_layers > 0)
    assert (llm.experts > 0) == (llm.experts_per_token > 0)
    assert llm.experts_per_token <= llm.experts


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("H100", "H100-SXM"),
        ("h100_sxm", "H100-SXM"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("nvidia a100-sxm4-80gb", "A100-80GB-SXM"),
        ("b200_sxm", "B200-SXM"),
        ("rtx_pro_6000_server", "RTX-PRO-6000-Server"),
    ],
)
def test_gpus_are_known_by_many_names(written: str, meant: str) -> None:
    assert find_gpu(written).name == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Qwen/Qwen3-32B", "Qwen3-32B"),
        ("nvidia/Qwen3-32B-NVFP4", "Qwen3-32B"),
        ("x/Meta-Llama-3.1-70B-Instruct-quantized.w4a16", "Llama-3.1-70B"),
        ("amd/Llama-3.3-70B-Instruct-FP8-KV", "Llama-3.3-70B"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "Qwen3-235B-A22B"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "Llama-3.3-70B"),
    ],
)
def test_llms_are_known_by_what_their_checkpoint_is_called(written: str, meant: str) -> None:
    assert find_llm(written).name == meant


def test_different_architectures_stay_different() -> None:
    assert len({plain_name(name) for name in load_llms()}) == len(load_llms())
    with pytest.raises(InputError, match="Did you mean"):
        find_llm("Llama-3.1-71B")


def test_a_wrong_entry_names_its_row_and_field(tmp_path: Path) -> None:
    text = (FOLDER / "gpus.yaml").read_text(encoding="utf-8")
    path = tmp_path / "gpus.yaml"
    path.write_text(text.replace("L4: {vendor: nvidia,", "L4: {vender: nvidia,").replace("tdp_w: 72.0", "tdp_w: -72"))
    with pytest.raises(InputError) as caught:
        load_gpus(path)
    message = str(caught.value)
    assert "`gpus.L4.vender` is not a known key" in message
    assert "`gpus.L4.tdp_w`" in message
    assert "-72" in message
    path.write_text(
        text.replace("link: pcie, tdp_w: 72.0, source: aiconfigurator", "link: pcie, tdp_w: 72.0, source: hearsay")
    )
    with pytest.raises(InputError, match=r"gpus\.L4\.source.*'hearsay'"):
        load_gpus(path)


def test_engines_state_a_rule_for_memory() -> None:
    assert {engine.memory_rule for engine in load_engines().values()} == {"share_of_total", "share_of_free"}
