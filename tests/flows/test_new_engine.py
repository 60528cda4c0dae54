"""An engine that is one YAML entry: sized, swept, evaluated, planned and started with nothing else said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from configs.errors import InputError
from configs.evaluation import EvaluationPolicy
from configs.loading import load_scenario
from data.catalog import engine_serving, find_engine, find_gpu, find_llm, load_coefficients, load_engines
from data.own_catalog import FOLDER, OWN
from data.records import LengthSample, SloTarget
from data.scenario_names import check_names
from flows import steps
from flows.emit import manifests
from flows.sweep import Grid, run
from models.coefficients import coefficients
from models.evaluate import evaluate
from models.size import size
from reports.manifests.engines import Serving, command, query
from tests.flows.small import make, small_scenario

ENTRY = """
  tgi:
    version: "3.3"
    also: [Text-Generation-Inference]
    gpu_memory_utilization: 0.85
    memory_rule: share_of_total
    max_num_seqs: 128
    max_num_batched_tokens: 4096
    kv_block_tokens: 16
    graph_gib: 0.5
    communication_gib: 0.4
    fragmentation_gib: 0.25
    host_overhead_ms: 1.0
    overlapped_scheduling: false
    source: tgi-docs
"""
SERVING = """
    serving:
      image: ghcr.io/huggingface/text-generation-inference:3.3.4
      health: /health
      metrics: /metrics
      running: tgi_batch_current_size
      waiting: tgi_queue_size
      kv_share: tgi_kv_share
      finished: tgi_request_success
      command: [
        text-generation-launcher, --model-id, "{model}", --port, "{port}", --num-shard, "{tensor_parallel}",
        "--max-batch-size={max_num_seqs}", --max-batch-prefill-tokens, "{max_num_batched_tokens}",
        --max-total-tokens, "{max_model_len}",
      ]
"""
SLO = SloTarget(1.0, 0.05, 95.0)


def written(folder: Path, entry: str) -> Path:
    """The catalog of engines with one more."""
    text = (FOLDER / "engines.yaml").read_text(encoding="utf-8")
    source = 'tgi-docs: {citation: "TGI 3.3 launcher arguments", as_of: "2026-11"}'
    path = folder / "engines.yaml"
    path.write_text(text.replace("sources:", f"sources:\n  {source}", 1) + entry, encoding="utf-8")
    return path


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new engine, without `serving`, in a catalog of one's own."""
    folder = tmp_path / "own"
    folder.mkdir()
    source = 'sources: {tgi-docs: {citation: "TGI 3.3 launcher arguments", as_of: "2026-11"}}'
    (folder / "engines.yaml").write_text(f"{source}\nengines:{ENTRY}", encoding="utf-8")
    monkeypatch.setenv(OWN, str(folder))


@pytest.mark.usefixtures("known")
def test_it_is_sized_with_its_own_limits_and_memory() -> None:
    assert find_engine("text generation inference").name == "tgi"
    llm, gpu = find_llm("Llama-3.1-8B"), find_gpu("H100-SXM")
    policy = EvaluationPolicy(
        llms=(llm.name,), gpus=(gpu.name,), precisions=("bf16",), tensor_parallel=(1,), engine="tgi"
    )
    lengths = {(llm.name, "chat"): LengthSample(*(np.array([n]) for n in (500, 200, 0)), np.ones(1), "test")}

    (mine,) = evaluate([llm], [gpu], find_engine("tgi"), load_coefficients(), policy, lengths, {"chat": SLO}).rows
    assert (mine.configuration.engine, mine.configuration.max_num_seqs) == ("tgi", 128)
    assert mine.excuse is None
    assert mine.knee_rps > 0.0
    memory = size(mine.configuration, {llm.name: llm}, {gpu.name: gpu}, find_engine("tgi"), load_coefficients(), 700.0)
    assert (memory.concurrent_requests, memory.seqs_bind) == (128, True)
    # What its share leaves to others, and what its graphs take.
    assert memory.fragmentation_bytes == pytest.approx(0.25 * 2**30)
    assert memory.left_to_others_bytes == pytest.approx(0.15 * gpu.memory_bytes - 0.25 * 2**30, rel=1e-4)
    assert memory.graph_bytes == pytest.approx(0.5 * 2**30)


@pytest.mark.usefixtures("known")
def test_it_is_swept_and_borrows_the_tables_of_its_gpu() -> None:
    grid = Grid(
        ["Llama-3.1-8B"], ["H100-SXM"], ["bf16"], [1, 2], [1], "TGI", "bf16", [500], [200], 8, ttft_s=1.0, tpot_s=0.05
    )
    found = run(grid)
    assert {point.configuration.engine for point in found.front} == {"tgi"}
    assert max(point.batch for point in found.front) <= 128
    lent = coefficients(load_coefficients(), find_gpu("H100-SXM"), find_engine("tgi"), "bf16", "bf16", 1)
    assert lent.provenance == "fitted"


@pytest.mark.slow
@pytest.mark.usefixtures("known")
def test_it_is_planned_and_what_cannot_start_it_says_why(tmp_path: Path) -> None:
    raw = small_scenario()
    raw["evaluate"] |= {"engine": "TGI", "gpus": ["H100-SXM"], "tensor_parallel": [1], "precisions": ["bf16"]}
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    folder = tmp_path / "run"
    folder.mkdir()
    made = make(load_scenario(path))
    assert {pool.configuration.engine for pool in made.plan.pools} == {"tgi"}
    steps.write(made, folder)
    with pytest.raises(InputError, match=r"engine 'tgi'.*`serving`.*engines\.yaml"):
        manifests(folder, None)


def test_its_words_start_it_and_read_its_load(tmp_path: Path) -> None:
    serving = engine_serving("tgi", written(tmp_path, ENTRY + SERVING))
    assert serving is not None
    one = Serving(serving, "meta-llama/Llama-3.1-8B", "x", 2, 1, 1, 128, 4096, 8192, 0.85, "bf16", False)
    expected = (
        "text-generation-launcher --model-id meta-llama/Llama-3.1-8B --port 8000 --num-shard 2 --max-batch-size=128 "
        "--max-batch-prefill-tokens 4096 --max-total-tokens 8192"
    )
    assert " ".join(command(one)) == expected
    assert query(serving, "kv_cache", "ns", "pool", 1.0, 60.0).startswith("sum(avg_over_time(tgi_kv_share{")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"{model}"', '"{modle}"', "braces hold one of model"),
        ('"{port}"', '"{port"', "braces hold one of"),
        (', --num-shard, "{tensor_parallel}"', "", "command says nothing of tensor_parallel"),
        ('"{port}"', '"{port}", --kv, "{kv_precision}"', "kv_names says what bf16 and fp8 are called"),
        ("running: tgi_batch_current_size", "running: 'x} or vector(1)'", "running"),
        ("max_num_seqs: 128", "max_num_seqs: 0", "max_num_seqs"),
        ("source: tgi-docs", "source: hearsay", "'hearsay'"),
        ("version:", "verison:", "verison"),
    ],
)
def test_a_wrong_entry_says_what_is_wrong_with_it(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in ENTRY + SERVING
    path = written(tmp_path, (ENTRY + SERVING).replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_engines(path)
    assert said in str(caught.value)
    assert "tgi" in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("evaluate", "engine", "vlm", "engine 'vlm'.*Did you mean vllm"),
        ("evaluate", "gpus", ["H100-SMX"], "GPU 'H100-SMX'.*Did you mean H100-SXM"),
        ("evaluate", "llms", ["Llama-3.1-8B", "Llama-3.1-9B"], "LLM 'Llama-3.1-9B'.*Did you mean Llama-3.1-8B"),
        ("autoscaling", "images", {"vlm": "x"}, "engine 'vlm'"),
        ("autoscaling", "models", {"Lama": "x"}, "LLM 'Lama'"),
    ],
)
def test_names_of_a_scenario_are_checked_before_work_begins(
    tmp_path: Path, section: str, key: str, value: object, said: str
) -> None:
    raw = small_scenario()
    raw.setdefault(section, {})[key] = value
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        check_names(load_scenario(path).scenario)


def test_every_name_of_the_shipped_scenario_is_known() -> None:
    check_names(load_scenario(None).scenario)
