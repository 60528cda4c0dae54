"""The how-to pages, executed as they are written, on small inputs of the names that they use."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from flows import steps
from models.observe import LoadTest, observe
from tests.docs.test_docs import DOCS, lines_of
from tests.flows.conftest import Run
from tests.flows.small import small_made
from tests.flows.test_calibrate import day
from tests.flows.test_loadtest import saved
from tests.flows.test_starter import azure_log

IN_A_CHECKOUT = ("test", "lint")
"""`./run` commands that are for people who change the code: CI runs them."""


def commands(page: Path) -> list[list[str]]:
    found = [shlex.split(line) for line in lines_of(page.read_text(encoding="utf-8"))]
    return [words for words in found if words[0] not in IN_A_CHECKOUT]


def load_tests(folder: Path) -> None:
    """results/ of `vllm bench`, runs.csv of a server a tenth slower than the catalog says, and an engine's metrics."""
    day(folder / "metrics.json", one=Configuration("Llama-3.1-8B", "RTX-PRO-6000-Server", "bf16", "bf16", 1, "vllm"))
    (folder / "results").mkdir()
    saved(folder / "results")
    one = Configuration("Llama-3.1-8B", "H100-SXM", "fp8", "bf16", 1, "vllm")
    tests = [LoadTest(clients, tokens, 200.0, 1.0) for clients, tokens in ((1.0, 200.0), (8.0, 1000.0), (32.0, 500.0))]
    tests += [LoadTest(16.0, 2000.0, 200.0, 1.0), LoadTest(48.0, 200.0, 200.0, 1.0)]
    seen = observe(one, tests, load_llms(), load_gpus(), find_engine("vllm"), load_coefficients())
    tpot_ms = 1.1e3 * (seen.decode_s + seen.interference_s)
    rows = [
        f"{test.concurrency:g},{test.input_tokens:g},{test.output_tokens:g},{ms}"
        for test, ms in zip(tests, tpot_ms, strict=True)
    ]
    head = "concurrency,input_tokens,output_tokens,tpot_ms"
    (folder / "runs.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def an_llm(folder: Path) -> None:
    """A config.json that no catalog has, and the page's own catalog."""
    own = (DOCS / "howto" / "extend.md").read_text(encoding="utf-8").split("```yaml\n# own/prices.yaml\n")[1]
    (folder / "own").mkdir()
    (folder / "own" / "prices.yaml").write_text(own.split("```")[0], encoding="utf-8")
    (folder / "path" / "to").mkdir(parents=True)
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
        "max_position_embeddings": 131072, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "path" / "to" / "config.json").write_text(json.dumps(config), encoding="utf-8")


def a_plan(folder: Path) -> None:
    """The last plan, below runs/."""
    run = folder / "runs" / "small-1"
    run.mkdir(parents=True)
    steps.write(small_made(), run)


def a_log(folder: Path) -> None:
    azure_log(folder / "log.csv", hours=24 * 16, per_hour=20)


INPUTS: dict[str, Callable[[Path], None]] = {
    "calibrate": load_tests, "extend": an_llm, "own_gpus": lambda _: None, "reservations": a_plan, "traffic": a_log,
}  # fmt: skip
LEFT = {"calibrate": ("calibration", "h100.yaml", "pro6000.yaml"), "traffic": ("traffic", "scenario.yaml", "runs")}
"""What the commands of a page leave behind."""


def test_every_page_with_commands_is_executed() -> None:
    assert {page.stem for page in (DOCS / "howto").glob("*.md") if commands(page)} == set(INPUTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_the_page_works_as_written(name: str, fleetcast: Run, tmp_path: Path, environment: dict[str, str]) -> None:
    environment["FLEETCAST_LEDGER"] = f"sqlite:///{tmp_path}/ledger.sqlite"
    INPUTS[name](tmp_path)
    if (tmp_path / "own").is_dir():
        environment["FLEETCAST_CATALOG"] = "own"
    for words in commands(DOCS / "howto" / f"{name}.md"):
        done = fleetcast(*words, timeout_s=400)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        assert done.stdout.strip()
        assert "Traceback" not in done.stderr
    assert all((tmp_path / left).exists() for left in LEFT.get(name, ()))
