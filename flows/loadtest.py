"""Load-test results in: are they plausible, what do they say of the hardware, how well are they predicted?"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs.catalog_schema import CatalogSource, CorrectionFile
from configs.errors import InputError
from configs.evaluation import EvaluationPolicy
from configs.validation import validated
from configs.yaml_files import dump_yaml
from data.catalog import find_engine, find_gpu, find_llm, llm_aliases, load_coefficients, load_llms
from data.loadtests.records import LoadPoint, LoadTest
from data.records import Configuration
from models.loadtest_checks import Finding, bounds, checked, usable
from models.loadtest_coefficients import Evidence, correction
from models.loadtest_fit import COEFFICIENTS, LoadTestFit, Setup, fit_load_tests
from models.loadtest_score import typical
from models.rows import build_rows
from reports.loadtest_chart import CurvePoint, chart, png, svg

KV_PRECISIONS = ("bf16", "fp8")


@dataclass(frozen=True, slots=True)
class Question:
    """What served the load tests; without a GPU they are checked, not fitted."""

    llm: str | None
    gpu: str | None
    precision: str
    kv_precision: str
    tensor_parallel: int
    engine: str
    replicas: int | None
    cached_tokens: int
    max_num_seqs: int
    overlap: bool | None = None
    """Whether the engine scheduled an iteration while the one before ran; None: its default when it was tested."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One load test: its points, what is doubtful about them, and the fit where one was asked for and possible."""

    test: LoadTest
    findings: tuple[Finding, ...]
    setup: Setup | None
    fit: LoadTestFit | None
    notes: tuple[str, ...]


def examine(tests: Sequence[LoadTest], question: Question) -> tuple[Answer, ...]:
    """Every load test checked, and fitted where a GPU is named. Raises InputError for names that are not known."""
    return tuple(_answer(test, question) for test in tests)


def _answer(test: LoadTest, question: Question) -> Answer:
    setup = None if question.gpu is None else _setup(test, question)
    if setup is None:
        return Answer(test, checked(test), None, None, ())
    one = setup.configuration
    rows, _ = build_rows([one], {one.llm: setup.llm}, {one.gpu: setup.gpu}, setup.engine, setup.catalog)
    findings = checked(test, bounds(rows), float(setup.cached_tokens), setup.replicas)
    points = usable(test, findings)
    left = [p.label for p in test.points if p.label not in {q.label for q in points}]
    notes = [f"left out of the fit: {', '.join(left)}"] if left else []
    if question.llm and test.model and _known(test.model) not in (None, one.llm):
        notes.append(f"the files name {test.model}, the command {one.llm}")
    if setup.engine.overlapped_scheduling != find_engine(question.engine).overlapped_scheduling:
        how = "with" if setup.engine.overlapped_scheduling else "without"
        notes.append(f"simulated {how} overlapped scheduling" + (f": tested {test.day}" if test.day else ""))
    if setup.replicas > 1:
        notes.append(f"{setup.replicas} replicas share the load evenly")
    fit = fit_load_tests(setup, points) if points else None
    if fit is None:
        ruled_out = any(f.kind == "tpot_below_bandwidth" for f in findings)
        notes.append(
            "this configuration cannot have served the test" if ruled_out else "no plausible point is left to fit"
        )
    return Answer(test, findings, setup, fit, (*notes, *(fit.notes if fit else ())))


def _setup(test: LoadTest, question: Question) -> Setup:
    """The configuration that was tested; what the command does not name is taken from the files."""
    name = question.llm or test.model
    if not name:
        raise InputError(
            "--llm", "the LLM that was tested (the files do not name it)", "nothing", "Name it with --llm."
        )
    llm, gpu, engine = (
        find_llm(question.llm or _known(name) or name),
        find_gpu(question.gpu or ""),
        find_engine(question.engine),
    )
    validated(
        EvaluationPolicy,
        {
            "llms": [llm.name],
            "gpus": [gpu.name],
            "precisions": [question.precision],
            "tensor_parallel": [question.tensor_parallel],
            "engine": question.engine,
        },
        "command line",
    )
    if question.kv_precision not in KV_PRECISIONS:
        raise InputError("--kv-precision", " or ".join(KV_PRECISIONS), repr(question.kv_precision), "Name one of them.")
    stated = {p.replicas for p in test.points if p.replicas >= 1}
    replicas = question.replicas or (round(stated.pop()) if len(stated) == 1 else 1)
    one = Configuration(
        llm.name, gpu.name, question.precision, question.kv_precision, question.tensor_parallel, engine.name,
        max_num_seqs=question.max_num_seqs,
    )  # fmt: skip
    overlap = question.overlap
    if overlap is None:
        since = engine.overlapped_since
        old = since is not None and "" < test.day < since[1]
        overlap = engine.overlapped_scheduling and not old
    engine = replace(engine, overlapped_scheduling=overlap)
    return Setup(one, llm, gpu, engine, load_coefficients(), replicas, question.cached_tokens)


def _known(name: str) -> str | None:
    """The catalog's name of what a file calls its model; an instruction-tuned one has its base's shapes."""
    for each in (name, name.removesuffix("-Instruct")):
        if each in load_llms() or each in llm_aliases():
            return llm_aliases().get(each, each)
    return None


def curve(fit: LoadTestFit) -> list[CurvePoint]:
    """The service curve of a fit: medians (means where the tool has none) and p99."""
    found = []
    for i, point in enumerate(fit.points):
        for j, metric in enumerate(("TTFT", "TPOT")):
            whole = [values[i, j] for values in (fit.measured, fit.before, fit.after, fit.held_out)]
            # A prediction is compared at the statistic that was measured.
            known = [values * (fit.measured[i, j] * 0 + 1) for values in whole]
            middle = [1e3 * float(typical(values)) for values in known]
            tail = [1e3 * float(values[-1]) for values in known]
            found.append(CurvePoint(point.achieved_rps, metric, "median", *middle))
            if not math.isnan(tail[0]):
                found.append(CurvePoint(point.achieved_rps, metric, "p99", *tail))
    return found


def headline(answer: Answer) -> str:
    """One sentence: how far predictions are from the measured medians."""
    fit = answer.fit
    if fit is None:
        return "No plausible point to fit"
    before, after, held = (fit.errors[name] for name in ("before", "after", "held_out"))
    left = "" if math.isnan(held["tpot"]) else f"; {held['tpot']:.0%} of TPOT with each point left out"
    return (
        f"Calibrated, TPOT is {after['tpot']:.0%} and TTFT {after['ttft_median']:.0%} off what was measured (catalog: "
        f"{before['tpot']:.0%} and {before['ttft_median']:.0%}){left}"
    )


def write(answers: Sequence[Answer], folder: Path) -> list[Path]:
    """The JSON, for every fit the picture and, unless it is poor, the calibration; numbered where there are several."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def put(name: str, content: str | bytes) -> None:
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        written.append(path)

    put("loadtest.json", as_json(answers))
    for number, answer in enumerate(answers, start=1):
        fit, setup = answer.fit, answer.setup
        if fit is None or setup is None:
            continue
        tail = "" if len(answers) == 1 else f"-{number}"
        figure = chart(
            curve(fit), headline(answer), f"{setup.configuration.label} · {answer.test.tool} · {fit.verdict}"
        )
        put(f"service_curve{tail}.svg", svg(figure))
        put(f"service_curve{tail}.png", png(figure))
        if not fit.usable:
            continue
        file = CorrectionFile(corrections=(correction(setup.configuration, fit.factors, _evidence(answer.test, fit)),))
        put(f"calibration{tail}.yaml", dump_yaml(file.model_dump(mode="json")))
    return written


def _evidence(test: LoadTest, fit: LoadTestFit) -> Evidence:
    """What a plan that uses the correction should know of the fit."""
    held_out = fit.errors["held_out"]["tpot"]
    return Evidence(
        len(fit.points),
        fit.errors["before"]["tpot"],
        None if math.isnan(held_out) else held_out,
        fit.identified,
        fit.verdict,
        CatalogSource(citation=f"{len(fit.points)} points of {test.tool}", as_of=f"{datetime.now(UTC):%Y-%m-%d}"),
    )


def as_json(answers: Sequence[Answer]) -> str:
    """Points, findings and fits for machines; null is "not known", rows of requests are left out."""
    return json.dumps([_plain(_dict(answer)) for answer in answers], indent=2, allow_nan=False) + "\n"


def _dict(answer: Answer) -> dict[str, Any]:
    test = replace(answer.test, points=tuple(_without_rows(p) for p in answer.test.points))
    found: dict[str, Any] = {
        **asdict(test),
        "findings": [asdict(f) for f in answer.findings],
        "notes": [*answer.test.notes, *answer.notes],
        "fit": None,
    }
    fit, setup = answer.fit, answer.setup
    if fit is not None and setup is not None:
        found["fit"] = {
            "configuration": asdict(setup.configuration),
            "replicas": setup.replicas,
            "max_num_seqs": fit.max_num_seqs,
            "factors": asdict(fit.factors),
            "log_sd": dict(zip(COEFFICIENTS, fit.sd.tolist(), strict=True)),
            "identified": list(fit.identified),
            "errors": {key: dict(value) for key, value in fit.errors.items()},
            "folds": fit.folds,
            "verdict": fit.verdict,
            "usable": fit.usable,
            "served_rps": dict(zip(("measured", "catalog", "calibrated"), fit.served_rps.tolist(), strict=True)),
            "curve": [asdict(point) for point in curve(fit)],
        }
    return found


def _without_rows(point: LoadPoint) -> LoadPoint:
    return replace(point, rows=None)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf"
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
