"""The catalogs: every entry usable and sourced, found by the names people use; wrong ones name row and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import InputError
from data.catalog import (
    FOLDER,
    find_engine,
    find_gpu,
    find_llm,
    load_coefficients,
    load_engines,
    load_gpus,
    load_llms,
    plain_name,
)


@pytest.mark.parametrize("name", sorted(load_gpus()))
def test_gpus_are_sane(name: str) -> None:
    gpu = load_gpus()[name]
    rates = gpu.dense_flops
    assert gpu.source.citation
    assert not gpu.like or any(fit.gpu == gpu.like for fit in load_coefficients().gemm)
    assert "bf16" in rates
    assert rates.get("fp8", rates["bf16"]) >= rates["bf16"]
    assert rates.get("fp4", rates.get("fp8", 0.0)) >= rates.get("fp8", 0.0)
    # Between 10 and 500 FLOP for a byte (800 with a CPU's memory): an entry outside mixed up units or sparsity.
    assert 10 < rates["bf16"] / gpu.memory_bandwidth_bytes_per_s < (800 if "shared with the CPU" in gpu.note else 500)
    assert 4e9 < gpu.memory_bytes < 400e9
    assert 50 < gpu.tdp_w < 2000


def test_what_a_gpu_computes_in() -> None:
    fp8 = {name for name, gpu in load_gpus().items() if "fp8" in gpu.dense_flops}
    assert not {"A100-80GB-SXM", "A100-40GB-PCIe", "A10G", "A30", "A800", "A40", "RTX3090", "T4"} & fp8
    assert {"H100-SXM", "H100-NVL", "GH200", "L4", "L40", "L40S", "RTX4090", "RTX-6000-Ada", "MI300X", "H20"} <= fp8
    fp4 = {name for name, gpu in load_gpus().items() if "fp4" in gpu.dense_flops}
    assert fp4 == {
        "B200-SXM", "B300-SXM", "GB200", "GB300", "RTX-PRO-6000-Server", "RTX-PRO-6000-Workstation", "RTX5090",
        "MI350X", "MI355X", "GB10",
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
        ("h100_sxm5", "H100-SXM"),
        ("nvidia-h100-mega-80gb", "H100-SXM"),
        ("H100 NVL", "H100-NVL"),
        ("H200 SXM 141GB", "H200-SXM"),
        ("A100 SXM 80GB", "A100-80GB-SXM"),
        ("nvidia-a100-40gb", "A100-40GB-SXM"),
        ("GB200 NVL72", "GB200"),
        ("gb200_sxm", "GB200"),
        ("DGX B200", "B200-SXM"),
        ("Tesla T4", "T4"),
        ("dgx_spark", "GB10"),
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
        ("llama3.1-70b", "Llama-3.1-70B"),
        ("LLAMA3.1_405B", "Llama-3.1-405B"),
        ("GPT_OSS_120B", "gpt-oss-120b"),
        ("QWEN3_235B", "Qwen3-235B-A22B"),
        ("nvidia/DeepSeek-R1-0528-FP4-v2", "DeepSeek-R1"),
        ("Qwen/Qwen3-VL-32B-Instruct-FP8", "Qwen3-32B"),
        ("x/Mistral-7B-Instruct-v0.1-AWQ", "Mistral-7B-v0.1"),
        ("x/Mistral-7B-Instruct-v0.3-GPTQ-4bit", "Mistral-7B"),
    ],
)
def test_llms_are_known_by_what_their_checkpoint_is_called(written: str, meant: str) -> None:
    assert find_llm(written).name == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("vLLM", "vllm"),
        ("TensorRT-LLM", "trtllm"),
        ("tensorrt_llm", "trtllm"),
        ("SGLang", "sglang"),
        ("vllm-0.11.0", "vllm"),
    ],
)
def test_engines_are_known_however_they_are_spelt(written: str, meant: str) -> None:
    assert find_engine(written).name == meant


@pytest.mark.parametrize(
    "name", ["nvidia-tesla-a100", "H100 40GB", "B100", "h", "", "80GB", "A100 PCIe 60GB", "NVIDIA"]
)
def test_what_names_no_gpu_or_several_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="GPU"):
        find_gpu(name)


def test_different_architectures_stay_different() -> None:
    assert len({plain_name(name).replace("-", "") for name in load_llms()}) == len(load_llms())
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
