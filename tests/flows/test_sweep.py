"""`fleetcast sweep`: a front that nothing beats, limits that hold, and reasons for everything that is out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from configs.errors import InputError
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from flows.sweep import Grid, as_json, run, show
from models.front import FrontPoint, Sweep, sweep
from models.sweep import SweepPolicy

GRID = Grid(
    ["Llama-3.1-8B"], ["L4", "H100-SXM", "A100-80GB-SXM"], ["bf16", "fp8"], [1, 2], [1], "vllm", "bf16", [1000], [200],
    12, 2.0, 0.03,
)  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Sweep:
    return run(GRID)


def objectives(point: FrontPoint) -> tuple[float, float, float]:
    return point.usd_per_million_tokens, point.tpot_s, -point.output_tokens_per_s


def test_nothing_on_the_front_is_beaten(found: Sweep) -> None:
    assert len(found.front) > 5
    for one in found.front:
        for other in found.front:
            better = [a <= b for a, b in zip(objectives(other), objectives(one), strict=True)]
            assert not all(better) or objectives(other) == objectives(one)


def test_limits_hold_and_every_configuration_is_accounted_for(found: Sweep) -> None:
    assert all(p.tpot_s <= GRID.tpot_s and p.ttft_s <= GRID.ttft_s for p in found.front)
    assert {one.excuse.limit for one in found.excused} == {"tpot", "precision"}
    for one in found.excused:
        assert one.excuse.limit == "precision" or one.excuse.needed > one.excuse.available
    excused = {one.configuration for one in found.excused}
    # 3 GPUs x 2 precisions x 2 degrees; what is not excused holds at least one point, all of 12 batches were looked at.
    assert found.points == (12 - sum(one.excuse.limit == "precision" for one in found.excused)) * 12
    assert not excused & {p.configuration for p in found.front}


@pytest.mark.parametrize(("limit", "most"), [("CHUNK_ROWS", 3), ("CHUNK_POINTS", 5), ("CHUNK_POINTS", 50)])
def test_chunks_do_not_change_the_front(found: Sweep, monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    """Fewer rows at a time, then the 12 batches of a row in parts of 5: the same front, counts and reasons."""
    monkeypatch.setattr(f"models.front.{limit}", most)
    parts = run(GRID)
    assert [(p.configuration, p.batch) for p in parts.front] == [(p.configuration, p.batch) for p in found.front]
    for mine, whole in zip(parts.front, found.front, strict=True):
        assert (*objectives(mine), mine.ttft_s) == pytest.approx((*objectives(whole), whole.ttft_s))
    assert (parts.points, parts.within_limits) == (found.points, found.within_limits)
    assert [(one.configuration, one.excuse.limit) for one in parts.excused] == [
        (one.configuration, one.excuse.limit) for one in found.excused
    ]


def test_more_stages_than_layers_are_excused() -> None:
    small = replace(load_llms()["Llama-3.1-8B"], name="tiny", layers=2)
    gpus, engine = load_gpus(), find_engine("vllm")
    ones = [Configuration("tiny", "H100-SXM", "bf16", "bf16", 1, "vllm", pipeline_parallel=pp) for pp in (2, 4)]
    policy = SweepPolicy(engine, 0.9, 0.02, 2.0, 0.05)
    axes = (np.array([1.0]), np.array([100.0]), np.array([10.0]))
    found = sweep(ones, {"tiny": small}, gpus, {"H100-SXM": 2.0}, load_coefficients(), policy, *axes)
    assert [point.configuration for point in found.front] == ones[:1]
    (excused,) = found.excused
    assert (excused.excuse.limit, excused.excuse.needed, excused.excuse.available) == ("pipeline parallelism", 4, 2)


def test_prices_are_the_catalogs_or_the_users(found: Sweep) -> None:
    dear = run(replace(GRID, gpus=["H100-SXM"], prices=["H100=22.0"]))
    cheap = next(p for p in found.front if p.configuration.gpu == "H100-SXM")
    same = next(p for p in dear.front if (p.configuration, p.batch) == (cheap.configuration, cheap.batch))
    assert same.usd_per_million_tokens == pytest.approx(10 * cheap.usd_per_million_tokens, rel=1e-4)  # 2.20 listed
    unpriced = run(replace(GRID, gpus=["MI300X"]))
    assert {one.excuse.limit for one in unpriced.excused} == {"price"}
    assert unpriced.front == ()


@pytest.mark.parametrize("price", ["H100", "H100=", "H100=-1", "H100=nan", "X900=2"])
def test_prices_that_cannot_be_are_refused(price: str) -> None:
    with pytest.raises(InputError):
        run(replace(GRID, prices=[price]))


def test_it_prints_and_parses(found: Sweep) -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    show(console, found)
    text = console.export_text()
    assert "Llama-3.1-8B, 1,000 tokens in, 200 out" in text
    assert "Out by tpot" in text
    read = json.loads(as_json(found))
    assert len(read["front"]) == len(found.front)
    assert read["excused"][0]["excuse"]["advice"]
