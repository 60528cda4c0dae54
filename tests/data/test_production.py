"""Windows of production metrics: what a steady engine says comes back, and what is not steady is set aside by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from data import production
from data.production import read_windows
from tests.data.engine_metrics import T0, Load, export, steady

LOADS = [Load(10.0, 900.0, 200.0, 0.02), Load(40.0, 900.0, 200.0, 0.03), Load(4.0, 900.0, 200.0, 0.015)]
Samples = dict[str, list]


def test_steady_loads_come_back(tmp_path: Path) -> None:
    found = read_windows([export(tmp_path / "m.json", steady(LOADS))])
    assert (found.rejected, found.replicas, found.engine) == ({}, 1, "vllm")
    assert [one.start_s for one in found.kept] == [T0, T0 + 300, T0 + 600]
    for one, load in zip(found.kept, LOADS, strict=True):
        assert one.batch == pytest.approx(load.batch)
        assert one.tpot_s == pytest.approx(load.tpot_s)
        assert one.input_tokens == pytest.approx(900.0)
        assert one.prompt_tokens_per_s == pytest.approx(900.0 * load.batch / load.tpot_s / 199.0)
        assert (one.context_tokens, one.context_from) == (pytest.approx(1000.0), "lengths")
        assert one.ttft_s - one.queue_s == pytest.approx(0.4)


def test_kv_use_tells_the_context(tmp_path: Path) -> None:
    samples = steady(LOADS, kv_capacity=80_000.0)
    samples["vllm:kv_cache_usage_perc"] = [(t, 1.2 * v) for t, v in samples["vllm:kv_cache_usage_perc"]]
    found = read_windows([export(tmp_path / "m.json", samples)], kv_capacity_tokens=80_000.0)
    # The gauge's last sample belongs to the next load.
    assert found.kept[2].context_tokens == pytest.approx(1200.0)
    assert {one.context_from for one in found.kept} == {"kv_usage"}


def test_what_the_prefix_cache_holds_is_not_computed(tmp_path: Path) -> None:
    samples = steady(LOADS[:1])
    samples["vllm:prefix_cache_hits_total"] = [(t, 0.25 * v) for t, v in samples["vllm:prompt_tokens_total"]]
    (plain,) = read_windows([export(tmp_path / "a.json", steady(LOADS[:1]))]).kept
    (cached,) = read_windows([export(tmp_path / "b.json", samples)]).kept
    assert cached.prompt_tokens_per_s == pytest.approx(0.75 * plain.prompt_tokens_per_s)
    assert cached.input_tokens == plain.input_tokens


def restarted(samples: Samples) -> None:
    for name, values in samples.items():
        if "num_requests" not in name and "usage" not in name:
            samples[name] = [(t, v - values[10][1] if i > 10 else v) for i, (t, v) in enumerate(values)]


def gone(samples: Samples) -> None:
    for name, values in samples.items():
        samples[name] = values[:8] + values[12:]


def idle(samples: Samples) -> None:
    for name, values in samples.items():
        samples[name] = [(t, 1e-3 * v) for t, v in values]


def more_run(samples: Samples) -> None:
    samples["vllm:num_requests_running"] = [(t, 2 * v + 3) for t, v in samples["vllm:num_requests_running"]]


def fewer_run(samples: Samples) -> None:
    samples["vllm:num_requests_running"] = [(t, 0.6 * v) for t, v in samples["vllm:num_requests_running"]]


def preempts(samples: Samples) -> None:
    counts = samples["vllm:time_to_first_token_seconds_count"]
    samples["vllm:num_preemptions_total"] = [(t, 0.1 * v) for t, v in counts]


def speculates(samples: Samples) -> None:
    samples["vllm:generation_tokens_total"] = [(t, 2.5 * v) for t, v in samples["vllm:generation_tokens_total"]]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (restarted, production.RESTARTED),
        (gone, production.UNSEEN),
        (idle, production.EMPTY),
        (more_run, production.ODD),
        (fewer_run, production.PREEMPTS),
        (preempts, production.PREEMPTS),
        (speculates, production.SPECULATES),
    ],
)
def test_windows_that_cannot_speak_are_set_aside(
    tmp_path: Path, damage: Callable[[Samples], None], reason: str
) -> None:
    samples = steady([Load(10.0, 900.0, 200.0, 0.02)])
    damage(samples)
    found = read_windows([export(tmp_path / "m.json", samples)])
    assert (found.kept, found.rejected) == ((), {reason: 1})


def test_a_window_across_two_loads_mixes(tmp_path: Path) -> None:
    found = read_windows([export(tmp_path / "m.json", steady([LOADS[0], LOADS[1]]))], window_s=600.0)
    assert (found.kept, found.rejected) == ((), {production.UNSTEADY: 1})


def test_replicas_stay_apart_and_two_exports_join(tmp_path: Path) -> None:
    a, b = ({"model_name": "llama", "instance": name, "engine": "0"} for name in ("a:8000", "b:8000"))
    first, second = steady(LOADS[:1]), steady([Load(20.0, 900.0, 200.0, 0.025)])
    files = [export(tmp_path / "a.json", first, a), export(tmp_path / "b.json", second, b)]
    both = read_windows(files)
    assert (both.replicas, [one.batch for one in both.kept]) == (2, [pytest.approx(10.0), pytest.approx(20.0)])
    half = {name: values[:11] for name, values in first.items()}
    rest = {name: values[8:] for name, values in first.items()}
    joined = read_windows([export(tmp_path / "c.json", half, a), export(tmp_path / "d.json", rest, a)])
    (whole,) = read_windows(files[:1]).kept
    assert joined.kept == (whole,)


def test_several_llms_need_a_name(tmp_path: Path) -> None:
    other = {"model_name": "qwen", "instance": "a:8000", "engine": "0"}
    files = [export(tmp_path / "a.json", steady(LOADS)), export(tmp_path / "b.json", steady(LOADS), other)]
    with pytest.raises(InputError, match="llama, qwen"):
        read_windows(files)
    assert len(read_windows(files, served="qwen").kept) == 3
    with pytest.raises(InputError, match="one of llama, qwen"):
        read_windows(files, served="mistral")


@pytest.mark.parametrize(
    ("without", "said"),
    [("inter_token", "time between tokens"), ("prompt_tokens", "prompt lengths"), ("first_token", "number of prompts")],
)
def test_what_is_missing_is_named(tmp_path: Path, without: str, said: str) -> None:
    samples = {name: values for name, values in steady(LOADS).items() if without not in name}
    with pytest.raises(InputError, match=said):
        read_windows([export(tmp_path / "m.json", samples)])


def test_tgi_speaks_of_finished_requests(tmp_path: Path) -> None:
    ours = steady([Load(10.0, 900.0, 200.0, 0.02)] * 2)
    prompts = ours["vllm:time_to_first_token_seconds_count"]
    samples = {
        "tgi_request_mean_time_per_token_duration_count": prompts,
        "tgi_request_mean_time_per_token_duration_sum": [(t, 0.02 * v) for t, v in prompts],
        "tgi_request_input_length_count": prompts,
        "tgi_request_input_length_sum": ours["vllm:prompt_tokens_total"],
        "tgi_request_generated_tokens_count": prompts,
        "tgi_request_generated_tokens_sum": ours["vllm:generation_tokens_total"],
        "tgi_batch_current_size": ours["vllm:num_requests_running"],
    }
    found = read_windows([export(tmp_path / "m.json", samples)])
    assert found.engine == "tgi"
    assert "lag" in found.notes[0]
    for one in found.kept:
        assert (one.batch, one.tpot_s) == (pytest.approx(10.0), pytest.approx(0.02))
        assert one.context_tokens == pytest.approx(1000.0, rel=0.01)
        assert math.isnan(one.ttft_s)


def test_trtllm_needs_to_be_told_the_prompt(tmp_path: Path) -> None:
    ours = steady([Load(10.0, 900.0, 200.0, 0.02)] * 2)
    prompts = ours["vllm:time_to_first_token_seconds_count"]
    samples = {
        "trtllm_time_per_output_token_seconds_count": prompts,
        "trtllm_time_per_output_token_seconds_sum": [(t, 0.02 * v) for t, v in prompts],
        "trtllm_time_to_first_token_seconds_count": prompts,
        "trtllm_num_requests_running": ours["vllm:num_requests_running"],
    }
    path = export(tmp_path / "m.json", samples)
    with pytest.raises(InputError, match="--input"):
        read_windows([path])
    found = read_windows([path], input_tokens=900.0)
    assert [one.batch for one in found.kept] == [10.0, 10.0]
    assert found.kept[0].prompt_tokens_per_s == pytest.approx(900.0 * 10.0 / 0.02 / 199.0)
    assert found.kept[0].context_tokens == pytest.approx(1000.0)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.builds(Load, st.floats(2, 200), st.floats(20, 4000), st.floats(10, 900), st.floats(5e-3, 0.2)),
        min_size=1,
        max_size=4,
    )
)
def test_any_steady_load_comes_back(tmp_path_factory: pytest.TempPathFactory, loads: list[Load]) -> None:
    path = tmp_path_factory.mktemp("m") / "m.json"
    found = read_windows([export(path, steady(loads))])
    assert len(found.kept) + sum(found.rejected.values()) == len(loads)
    by_start = {T0 + 300.0 * index: load for index, load in enumerate(loads)}
    for one in found.kept:
        load = by_start[one.start_s]
        assert one.batch == pytest.approx(load.batch, rel=1e-4)
        assert one.tpot_s == pytest.approx(load.tpot_s, rel=1e-4)
