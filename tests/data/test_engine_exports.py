"""Exports of SGLang, TGI, Triton and vLLM, old names and new, against the requests they were made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from configs.classes import ClassRules
from configs.validation import validated
from data.dataset import opened
from data.ingestion import ingest_files
from data.statistics.describe import ClassProfile, DatasetProfile, describe_dataset
from flows import describe as flow
from tests.data import engine_exports as exports
from tests.data.engine_exports import Scrape, Served, scrape, served, write_export
from tests.data.ingest_files import one

ALL = ClassRules(unmatched="all")
PROMISED = validated(
    ClassRules,
    {"classes": [{"name": "all", "match": {"service": ["*"]}, "slo": {"ttft_s": 1, "tpot_s": 1, "e2e_s": 5}}]},
    "rules",
)
Engine = Callable[[Served, Scrape], list[dict[str, Any]]]
ENGINES: dict[str, Engine] = {
    "sglang": exports.sglang,
    "sglang, first names": lambda asked, how: exports.sglang(asked, how, old=True),
    "tgi": exports.tgi,
    "triton": exports.triton,
}


def described(folder: Path, *series: dict[str, Any], rules: ClassRules = ALL) -> tuple[ClassProfile, tuple[str, ...]]:
    """One export of all the series as a dataset of one class, and the notes of its ingestion."""
    answer = one(folder / "out", write_export(folder / "p.json", series))
    assert answer.source is not None
    (found,) = describe_dataset(folder / "out", rules).classes
    return found, answer.source.notes


@pytest.mark.parametrize("name", ENGINES)
def test_arrivals_and_lengths_are_those_of_the_requests(tmp_path: Path, name: str) -> None:
    asked = served(1)
    found, notes = described(tmp_path, *ENGINES[name](asked, scrape()))
    assert found.requests == pytest.approx(len(asked.at))
    hours = np.bincount(((asked.at - exports.T0) // 3600).astype(int))
    by_hour = next(r for r in found.arrivals.rates if r.width_s == 3600)
    assert (by_hour.max, by_hour.mean) == pytest.approx((hours.max(), hours.mean()), rel=0.01)
    assert found.lengths is not None
    for side, values in (("input", asked.input_tokens), ("output", asked.output_tokens)):
        spread = getattr(found.lengths, side)
        assert spread.mean == pytest.approx(values.mean(), rel=0.02)
        assert spread.p95 == pytest.approx(np.quantile(values, 0.95), rel=0.15), "between bucket edges"
    assert not [note for note in notes if "unknown" in note]
    if name != "triton":
        assert found.load is not None
        assert found.load.mean_duration_s == pytest.approx(asked.e2e_s.mean(), rel=0.01)


@pytest.mark.parametrize("sep", ["_", ":"])
def test_trtllm_serve_counts_endings_and_says_nothing_of_lengths(tmp_path: Path, sep: str) -> None:
    asked = served(1)
    found, _ = described(tmp_path, *exports.trtllm(asked, scrape(), sep=sep), rules=PROMISED)
    assert found.requests == pytest.approx(len(asked.at))
    assert found.outcomes is not None
    assert found.outcomes.cancelled == pytest.approx(0.2, abs=0.001)
    assert found.lengths is None
    assert [x.label for x in found.slo] == ["TTFT", "end to end"]


def test_what_only_some_engines_say(tmp_path: Path) -> None:
    asked = served(2)
    folders = {name: tmp_path / name.replace(", ", "_") for name in ENGINES}
    found = {}
    for name, folder in folders.items():
        folder.mkdir()
        found[name], _ = described(folder, *ENGINES[name](asked, scrape()))
    sglang, tgi = found["sglang"], found["tgi"]
    assert sglang.outcomes is not None
    assert sglang.outcomes.cancelled == pytest.approx(1 / 20, abs=0.001)
    assert sglang.lengths is not None
    assert sglang.lengths.cached_share == pytest.approx(0.5, abs=0.01), "two sources of a quarter each"
    assert tgi.outcomes is not None
    assert tgi.outcomes.failed == pytest.approx(1 / 50, abs=0.001)
    with opened(folders["sglang, first names"] / "out") as (_, connection):
        assert connection.execute("SELECT DISTINCT llm FROM metrics").fetchall() == [("meta-llama/Llama-3.1-8B",)]


def test_triton_counts_a_request_once_however_many_models_it_passes(tmp_path: Path) -> None:
    asked = served(3, hours=1.0)
    answer = one(tmp_path / "out", write_export(tmp_path / "p.json", exports.triton(asked, scrape(hours=1.0))))
    assert answer.source is not None
    assert answer.source.reasons["a step around the LLM: the same requests again"] == 3 * 121
    # Models of other names are left, with a word of warning.
    labels = {"instance": "a:8002", "job": "triton"}
    series = [
        scrape(hours=1.0).counter("nv_inference_request_success", {**labels, "model": model}, asked.at)
        for model in ("router", "llama")
    ]
    (tmp_path / "x").mkdir()
    found, notes = described(tmp_path / "x", *series)
    assert found.requests == pytest.approx(2 * len(asked.at))
    assert [note for note in notes if "Triton counts llama, router" in note]


@pytest.mark.parametrize("name", ENGINES)
def test_restarts_gaps_and_clock_skew_lose_nothing_silently(tmp_path: Path, name: str) -> None:
    """A restart at 70 minutes loses what came since the last reading, 30 s; what fell into a gap of 15 minutes is said;
    a clock that is ahead moves everything and loses nothing."""
    asked = served(4)
    how = scrape(restart_h=70.25 / 60, gap_h=(2.25, 2.5), skew_s=11.0)
    answer = one(tmp_path / "out", write_export(tmp_path / "p.json", ENGINES[name](asked, how)))
    source = answer.source
    assert source is not None
    with opened(tmp_path / "out") as (_, connection):
        (placed,) = connection.execute(
            "SELECT sum(value) FROM metrics WHERE metric IN ('requests', 'succeeded')"
        ).fetchall()[0]
    said = [note for note in source.notes if "fell into gaps or cut-off ends" in note]
    unplaced = int(said[0].split()[0])
    in_gap = ((asked.at > exports.T0 + 2.25 * 3600) & (asked.at < exports.T0 + 2.5 * 3600)).sum()
    assert unplaced == pytest.approx(in_gap, abs=40), "and a cut-off end of half a minute on either side of it"
    lost = len(asked.at) - placed - unplaced
    assert 0 <= lost <= 30, "half a minute's requests before the restart"
    assert source.repairs["a counter reset: counted from 0, as Prometheus does"] > 0
    assert source.repairs["after a long gap: what was counted within it is not placed in time"] > 0


def test_replicas_of_different_age_and_clock_add_up(tmp_path: Path) -> None:
    first, second = served(5), served(6)
    series = [
        *exports.sglang(first, scrape(), instance="a:30000"),
        *exports.sglang(second, scrape(skew_s=13.0, step=15.0), instance="b:30000"),
    ]
    found, _ = described(tmp_path, *series)
    assert found.requests == pytest.approx(len(first.at) + len(second.at), rel=0.01)


def test_without_a_counter_of_requests_a_histogram_counts_them(tmp_path: Path) -> None:
    asked = served(7)
    for kept, words in (("input_length", "the length histograms"), ("request_duration", "the latency histograms")):
        folder = tmp_path / kept
        folder.mkdir()
        series = [x for x in exports.tgi(asked, scrape()) if kept in x["metric"]["__name__"]]
        found, notes = described(folder, *series)
        assert found.requests == pytest.approx(len(asked.at))
        assert f"no counter of requests: arrivals are the counts of {words}" in notes


def test_an_export_of_gauges_alone_says_that_arrivals_are_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = [x for x in exports.tgi(served(8), scrape()) if x["metric"]["__name__"].startswith("tgi_batch_current")]
    answer = one(tmp_path / "out", write_export(tmp_path / "p.json", series))
    assert answer.source is not None
    assert "no counter of requests, and no histogram that counts them: arrivals are unknown" in answer.source.notes
    assert "not used: tgi_batch_current_max_tokens" in answer.source.notes
    flow.show(Console(width=120), describe_dataset(tmp_path / "out", ALL))
    text = capsys.readouterr().out
    assert "no arrivals are counted in this dataset" in text
    assert "dispersion" not in text


def test_promises_are_read_from_the_engines_histograms(tmp_path: Path) -> None:
    asked = served(9)
    found, _ = described(tmp_path, *exports.sglang(asked, scrape()), rules=PROMISED)
    by_label = {x.label: x for x in found.slo}
    for label, values, limit in (("TTFT", asked.ttft_s, 1.0), ("end to end", asked.e2e_s, 5.0)):
        assert by_label[label].kept == pytest.approx((values <= limit).mean(), abs=0.001), (
            "the limit is a bucket's edge"
        )
        want = np.quantile(values, 0.99)
        assert by_label[label].seconds == pytest.approx(want, rel=0.6), "within a bucket"


def test_a_pattern_with_one_bad_file_reads_the_others(tmp_path: Path) -> None:
    for i in range(3):
        write_export(tmp_path / f"m{i}.json", exports.tgi(served(i, hours=0.5), scrape(hours=0.5), f"{i}:80"))
    (tmp_path / "m1.json").write_text("{", encoding="utf-8")
    answers = ingest_files([str(tmp_path / "m*.json")], tmp_path / "out")
    assert [answer.error is None for answer in answers] == [True, False, True]
    whole: DatasetProfile = describe_dataset(tmp_path / "out", ALL)
    assert whole.classes[0].requests == pytest.approx(sum(len(served(i, hours=0.5).at) for i in (0, 2)), rel=0.01)
