"""Limits of a batch: vLLM's API server by GPU (EngineArgs.get_batch_defaults), what is set before what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import InputError
from data.catalog import find_engine, find_gpu, load_engines, load_gpus
from data.engine_limits import batch_limits
from data.own_catalog import FOLDER

LARGE, SMALL = (1024, 8192), (256, 2048)


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        ("H100-SXM", LARGE), ("H100-NVL", LARGE), ("H200-SXM", LARGE), ("H20", LARGE), ("B200-SXM", LARGE),
        ("MI300X", LARGE), ("RTX-PRO-6000-Server", LARGE), ("A100-80GB-SXM", SMALL), ("A100-80GB-PCIe", SMALL),
        ("A100-40GB-SXM", SMALL), ("L40S", SMALL), ("L4", SMALL), ("A10G", SMALL), ("RTX4090", SMALL), ("T4", SMALL),
    ],
)  # fmt: skip
def test_vllm_on_a_gpu(gpu: str, expected: tuple[int, int]) -> None:
    assert batch_limits(find_engine("vllm"), find_gpu(gpu)) == expected


def test_every_gpu_of_the_catalog_has_the_limits_of_its_memory() -> None:
    for name, gpu in load_gpus().items():
        large = gpu.memory_bytes >= 70 * 2**30 and "a100" not in name.lower()
        assert batch_limits(find_engine("vllm"), gpu) == (LARGE if large else SMALL)
        assert batch_limits(find_engine("trtllm"), gpu) == (2048, 8192)


def test_what_is_set_comes_before_defaults_and_bounds_them() -> None:
    engine, gpu = find_engine("vllm"), find_gpu("H100-SXM")
    assert batch_limits(engine, gpu, 64, 0) == (64, 8192)
    assert batch_limits(engine, gpu, None, 16_384) == (1024, 16_384)
    # A sequence takes a token an iteration at least.
    assert batch_limits(engine, gpu, 0, 512) == (512, 512)
    assert batch_limits(engine, gpu, 2000, 512) == (2000, 512)


def test_of_several_sizes_the_largest_that_fits_holds_in_any_order(tmp_path: Path) -> None:
    text = (FOLDER / "engines.yaml").read_text(encoding="utf-8")
    path = tmp_path / "engines.yaml"
    here = "      - {from_gib: 70, but_not: [A100], max_num_seqs: 1024, max_num_batched_tokens: 8192}\n"
    more = "      - {from_gib: 150, max_num_seqs: 4096, max_num_batched_tokens: 16384}\n"
    assert here in text
    path.write_text(text.replace(here, here + more), encoding="utf-8")
    engine = load_engines(path)["vllm"]
    names = ("B200-SXM", "H100-SXM", "A100-80GB-SXM", "L4")
    assert [batch_limits(engine, find_gpu(name)).max_num_seqs for name in names] == [4096, 1024, 256, 256]
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace(here, here.replace("from_gib: 70", "from_gib: -1")), encoding="utf-8")
    with pytest.raises(InputError, match=r"engines\.vllm\.by_gpu_memory\.0\.from_gib"):
        load_engines(path)
