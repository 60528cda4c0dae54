"""`fleetcast curve` of a pool: rules that cannot be are refused in words, and every figure is told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from configs.errors import InputError
from data.curve_records import ClassTimes, Percentile3
from data.pool_curve_records import ClassFates, PoolCurve, PoolPoint, PoolRules
from data.records import SloTarget
from flows.cli import app
from flows.commands.pool_options import rules_of
from flows.curve import CurveAnswer, curve_json, write_curve
from flows.pool_curve import check, in_words, show_pool
from tests.optimizer.factory import capacity

TIMES = ClassTimes("chat", Percentile3(0.2, 0.5, 0.9), Percentile3(0.02, 0.04, 0.05), Percentile3(3, 5, 9), 0.912)
CHAT = ClassFates(TIMES, 5.1, 0.034, 0.021, 0.0, 0.123, 1.2, False)
BATCH = replace(CHAT, times=replace(TIMES, name="batch"), goodput_rps=2.9, holds=True)
RULES = PoolRules(3, "random", 48, 16, 5.0, None, 2, 0.5, ("chat",), 1, 20.0, 10.0)
ROW = capacity("H100-SXM", 6.8)
SLOS = {"chat": SloTarget(2.0, 0.06, 95.0), "batch": SloTarget(9.0, 0.1, 90.0)}
POINT = PoolPoint(12.0, 11.3, 8.0, 0.034, 0.021, 0.0, 0.123, 0.045, 0.81, 16, False, (CHAT, BATCH))
CURVE = PoolCurve(
    ROW.configuration, SLOS, {"chat": 0.6, "batch": 0.4}, RULES, 4.0, 9.6, (POINT,), (20.0, 40.0), "simulated", "fitted"
)


def told(curve: PoolCurve) -> str:
    console = Console(file=io.StringIO(), width=300)
    show_pool(console, curve)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_tells_rules_and_what_became_of_every_class() -> None:
    said = told(CURVE)
    assert "at most 48 run at a replica; at most 16 wait at a replica; clients leave without a first token" in said
    assert "1 is lost with all held at 20 s, for 10 s" in said
    assert "up to 9.60 requests/s" in said
    assert "3 lone replicas carry 12.00" in said
    chat, batch = (next(line for line in said.splitlines() if f" {name} " in line[:24]) for name in ("chat", "batch"))
    assert chat.split() == [
        "12.00", "chat", "5.10", "0.20", "0.50", "0.90", "20.0", "40.0", "50.0", "91.2%", "3.4%", "2.1%", "0.0%",
        "12.3%", "4.5%", "81%", "breaks",
    ]  # fmt: skip
    assert batch.split()[-1] == "holds"
    assert "gave up" not in told(replace(CURVE, rules=PoolRules(3, max_queue=9))), "nobody can"


def test_json_and_picture_have_every_class(tmp_path: Path) -> None:
    answer = CurveAnswer(CURVE, ROW)
    point = json.loads(curve_json(answer))["points"][0]
    assert [one["times"]["name"] for one in point["classes"]] == ["chat", "batch"]
    assert (point["classes"][0]["rejected"], point["preemptions"], point["peak_queue"]) == (0.034, 0.045, 16)
    write_curve(answer, tmp_path / "new")
    picture = (tmp_path / "new" / "curve.svg").read_text(encoding="utf-8")
    for words in ("within SLO: batch", "came again", "preemptions", "SLO holds up to"):
        assert words in picture, words


@pytest.mark.parametrize(
    ("rules", "classes", "where"),
    [
        (PoolRules(2, "nearest"), (), "--routing"),
        (PoolRules(2, lost=2), (), "--lose"),
        (PoolRules(2, lost=3, back_after_s=5.0), (), "--lose"),
        (PoolRules(2, back_after_s=5.0), (), "--back-after"),
        (PoolRules(2, drains=True), (), "--drain"),
        (PoolRules(2, retries=2), (), "--retries"),
        (PoolRules(2, first_token_wait_s=5.0, deadline_s=4.0), (), "--patience"),
        (PoolRules(2, urgent=("chat",)), (), "--priority"),
        (PoolRules(2, urgent=("code",)), ("chat", "batch"), "--priority"),
        (PoolRules(2, urgent=("chat", "batch")), ("chat", "batch"), "--priority"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules: PoolRules, classes: tuple[str, ...], where: str) -> None:
    with pytest.raises(InputError) as error:
        check(rules, classes)
    assert error.value.where == where


def test_rules_that_can_be_are_not() -> None:
    check(RULES, ("chat", "batch"))
    check(PoolRules(1, lost=1, back_after_s=5.0), ())
    check(PoolRules(2, lost=1, retries=1), ())


def test_options_become_rules_and_an_option_alone_is_refused() -> None:
    nothing = (1, None, None, None, None, None, 0, None, None, 0, None, None, False)
    assert rules_of(*nothing) is None
    asked = rules_of(4, "round-robin", 64, 32, 5.0, 30.0, 1, 2.0, ["chat"], 1, 20.0, None, True)
    assert asked == PoolRules(4, "round_robin", 64, 32, 5.0, 30.0, 1, 2.0, ("chat",), 1, 20.0, None, True)
    assert in_words(PoolRules(max_queue=8)) == "1 replica; at most 8 wait at a replica"
    for arguments, where in (
        (["--routing", "random"], "--routing"),
        (["--backoff", "2"], "--backoff"),
        (["--lose-at", "9"], "--lose-at"),
    ):
        result = CliRunner().invoke(app, ["curve", "--llm", "Llama-3.1-8B", "--gpu", "L40S", *arguments])
        assert isinstance(result.exception, InputError), result.output
        assert result.exception.where == where


@pytest.mark.slow
def test_the_command_draws_a_pool(tmp_path: Path) -> None:
    words = "curve --llm Llama-3.1-8B --gpu L40S --input 200 --output 10 --max-num-seqs 32 --queue 8 --json --out"
    result = CliRunner().invoke(app, [*words.split(), str(tmp_path / "pool")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "pool" / "curve.json").read_text(encoding="utf-8"))
    assert found["rules"]["max_queue"] == 8
    assert 0 < found["carries_rps"] <= 1.3 * found["knee_rps"]
    assert (tmp_path / "pool" / "curve.svg").exists()
