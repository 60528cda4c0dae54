"""Benchmarks as commands: valid JSON from small files, and an error that says what is wrong instead of a traceback."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import closed_loop, scheduler, vllm_log
from benchmarks.measured_runs import read_runs
from data.catalog import find_engine, find_gpu
from data.engine_limits import batch_limits
from tests.benchmarks.test_measured_files import ROW, written
from tests.benchmarks.test_operator_tables import tables

Main = Callable[[Sequence[str]], int]


def answer(main: Main, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The JSON that a command prints; NaN and Infinity are not JSON."""
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert isinstance(found, dict)
    return found


def words(main: Main, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def refused(main: Main, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    assert "expected" in said.err
    assert "Traceback" not in said.err
    return said.err


CLOSED = ROW | {"isl": "64", "osl": "16", "system": "H100", "model_path": "Llama-3.1-8B"}


@pytest.mark.slow
def test_closed_loops_are_scored_and_queues_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots = batch_limits(find_engine("vllm"), find_gpu("H100-SXM")).max_num_seqs
    rows = [
        CLOSED | {"batch_size": "4"},
        CLOSED | {"batch_size": "4", "silicon_ttft_ms": ""},
        CLOSED | {"batch_size": "4", "pp_size": "2"},
        CLOSED | {"batch_size": str(slots + 1)},
        CLOSED | {"system": "TPU v9"},
    ]
    path = written(tmp_path / "runs.csv", rows)
    found = answer(closed_loop.main, capsys, "--runs", str(path), "--waves", "2", "--calibrate", "1")
    assert (found["runs"], found["more_clients_than_slots"]) == (4, 1)
    assert found["left_out"] == {"unknown GPU 'TPU v9'": 1, "attention data parallelism": 0}
    assert (found["ttft"]["all"]["n"], found["tpot"]["all"]["n"]) == (3, 4), "pipelines have a TTFT, too"


def test_closed_loops_of_no_usable_run_are_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(written(tmp_path / "runs.csv", [ROW | {"system": "TPU v9"}]))
    nothing = answer(closed_loop.main, capsys, "--runs", path)
    assert (nothing["runs"], nothing["ttft"]["all"]) == (0, {"n": 0})
    assert "more_clients_than_slots: 0" in words(closed_loop.main, capsys, "--runs", path)


@pytest.mark.slow
def test_clients_beyond_the_engines_slots_wait_for_one(tmp_path: Path) -> None:
    (run,), _ = read_runs(written(tmp_path / "runs.csv", [CLOSED]))
    slots = batch_limits(find_engine("vllm"), find_gpu("H100-SXM")).max_num_seqs
    waves = 8
    none = np.zeros(1, dtype=np.int64)
    few, many = (closed_loop.simulate_runs([replace(run, concurrency=n)], waves, 0.8, none) for n in (slots, 2 * slots))
    ttft, tpot = (np.array([float(pair[i][0]) for pair in (few, many)]) for i in (0, 1))
    assert tpot[1] == pytest.approx(tpot[0], rel=0.1)
    # By Little's law twice the clients at one rate take twice as long: what they spend more is the wait for a slot.
    outputs = 0.9 * run.output_tokens
    stay = ttft[0] + (outputs - 1.0) * tpot[0]
    assert ttft[1] - ttft[0] == pytest.approx(stay, rel=0.15)


def test_a_client_without_a_place_waits_its_share(tmp_path: Path) -> None:
    (run,), _ = read_runs(written(tmp_path / "runs.csv", [CLOSED]))
    few = [replace(run, concurrency=4.0)]
    none, one = (closed_loop.simulate_runs(few, 10, 0.8, np.array([more])) for more in (0, 1))
    in_place = 0.9 * run.output_tokens * float(none[1][0])
    assert float(one[0][0] - none[0][0]) == pytest.approx(in_place / 4, rel=0.3)
    assert float(one[1][0]) == pytest.approx(float(none[1][0]), rel=0.1)


def test_closed_loops_without_a_file_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent.csv" in refused(closed_loop.main, capsys, "--runs", str(tmp_path / "absent.csv"))


META = {
    "model": "meta-llama/Llama-3.1-8B",
    "engine_kwargs": {"max_num_seqs": 64, "max_num_batched_tokens": 2048},
    "kv_cache": {"num_kv_tokens": 100_000},
    "vllm_version": "0.19.0",
}


def log(folder: Path, *, output: int = 20) -> Path:
    """A run's folder: requests that come every 50 ms, take 30 ms to their first token and 10 ms a token."""
    folder.mkdir()
    tables(folder)
    (folder / "meta.json").write_text(json.dumps(META), encoding="utf-8")
    lines = []
    for i in range(12):
        sent = 100.0 + 0.05 * i
        lines.append({
            "input_toks": 200 + i, "output_toks": output, "arrival_time": sent, "queued_ts": sent + 0.001,
            "scheduled_ts": sent + 0.002, "first_token_ts": sent + 0.03,
            "last_token_ts": sent + 0.03 + 0.01 * (output - 1),
        })  # fmt: skip
    (folder / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    return folder


def test_a_vllm_log_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(vllm_log.main, capsys, "--run", str(log(tmp_path / "H100_Llama-3.1-8B")))
    assert (found["requests"], found["finished"], found["overlapped_scheduling"]) == (12, True, True)
    assert found["kv_capacity_tokens"] == 100_000
    assert found["tpot_p50"]["theirs_s"] == pytest.approx(0.01)
    assert found["ttft_p50"]["theirs_s"] == pytest.approx(0.029)


def test_a_vllm_log_of_one_token_answers_has_no_tpot_to_err_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(vllm_log.main, capsys, "--run", str(log(tmp_path / "H100_Llama-3.1-8B", output=1)))
    assert found["tpot_p50"]["theirs_s"] == 0.0
    assert found["tpot_p50"]["error"] is None
    assert "tpot_p50: 0.0000 s measured" in words(vllm_log.main, capsys, "--run", str(tmp_path / "H100_Llama-3.1-8B"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("meta.json", None, "meta.json"),
        ("meta.json", "{", "JSON"),
        ("meta.json", "[]", "object"),
        ("meta.json", '{"model": "Llama-3.1-8B"}', "engine_kwargs"),
        ("requests.jsonl", None, "requests.jsonl"),
        ("requests.jsonl", "\n", "no requests"),
        ("requests.jsonl", '{"input_toks": 3}\n', "no output_toks"),
        ("requests.jsonl", '{"input_toks": 3}\n{"in', "line 2"),
        ("op_tables/dense.csv", None, "dense.csv"),
    ],
)
def test_a_vllm_log_that_lacks_something_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None, said: str
) -> None:
    folder = log(tmp_path / "H100_Llama-3.1-8B")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    assert said in refused(vllm_log.main, capsys, "--run", str(folder))


def test_no_vllm_log_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent" in refused(vllm_log.main, capsys, "--run", str(tmp_path / "absent"))


COST = {
    "tokens": [1, 512, 1024], "linear_s": [0.01, 0.02, 0.04], "decode_s": [1e-4, 1e-5, 1e-9],
    "prefill_s": [1e-4, 1e-7, 1e-10], "kv_blocks": 10_000,
}  # fmt: skip


def requests(path: Path, counts: dict[float, int]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(scheduler.COLUMNS)
        for qps, count in counts.items():
            writer.writerows(("made", qps, i / qps, 100, 5, 0.02, 0.011, 0.07) for i in range(count))
    return path


def test_a_scheduler_is_scored_and_what_it_leaves_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cost = requests(tmp_path / "requests.csv", {1.0: 12, 2.0: 9}), tmp_path / "cost.json"
    cost.write_text(json.dumps(COST), encoding="utf-8")
    found = answer(scheduler.main, capsys, "--requests", str(path), "--cost", str(cost), "--lanes", "4")
    assert (found["requests"], found["left_out"]) == (21, 0)
    assert [(row["qps"], row["requests"], row["left_out"], row["finished"]) for row in found["rates"]] == [
        (1.0, 12, 0, True),
        (2.0, 9, 0, True),
    ]
    assert "0 left out" in words(scheduler.main, capsys, "--requests", str(path), "--cost", str(cost), "--lanes", "0")
    # Alone in the engine a prompt of 100 tokens (104 padded) takes one step of 12 ms and attention of 0.1 ms.
    assert found["rates"][0]["ttft_p50"]["ours_s"] == pytest.approx(0.0122, rel=0.02)


def test_scheduler_files_that_cannot_be_used_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, cost = requests(tmp_path / "requests.csv", {1.0: 3}), tmp_path / "cost.json"
    cost.write_text(json.dumps(COST), encoding="utf-8")
    short, empty, wrong = tmp_path / "short.csv", tmp_path / "none.csv", tmp_path / "wrong.json"
    short.write_text("case,qps\nmade,1\n", encoding="utf-8")
    requests(empty, {})
    wrong.write_text(json.dumps({"tokens": [1]}), encoding="utf-8")
    for first, second, said in (
        (tmp_path / "absent.csv", cost, "absent.csv"),
        (path, tmp_path / "absent.json", "absent.json"),
        (short, cost, "arrival"),
        (empty, cost, "no rows"),
        (path, wrong, "linear_s"),
    ):
        assert said in refused(scheduler.main, capsys, "--requests", str(first), "--cost", str(second))
