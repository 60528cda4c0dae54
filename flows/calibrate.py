"""Coefficients from one's own load tests or production metrics: fitted, judged, and written for scenarios to use."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from configs.catalog_schema import CatalogSource, CoefficientCatalog, Correction, CorrectionFile
from configs.errors import InputError
from configs.evaluation import EvaluationPolicy
from configs.validation import validated
from configs.yaml_files import dump_yaml
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.production import WINDOW_S, read_windows
from data.production_records import Windows
from data.records import Configuration, Engine, Gpu, Llm
from models.calibrate import COEFFICIENTS, LEAST_SHARE, Calibration, calibrate
from models.observe import LoadTest, observe
from models.production import ProductionFit, fit_windows, parts

COLUMNS = ("concurrency", "input_tokens", "output_tokens", "tpot_ms")
ALSO = {"batch_size": "concurrency", "isl": "input_tokens", "osl": "output_tokens", "silicon_tpot_ms": "tpot_ms"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The configuration that was measured, and the file of measurements."""

    llm: str
    gpu: str
    precision: str
    tensor_parallel: int
    engine: str
    kv_precision: str
    runs: Path | None = None
    metrics: tuple[Path, ...] = ()
    """Prometheus range queries; these or runs."""
    window_s: float = WINDOW_S
    served: str | None = None
    kv_tokens: float = math.nan
    input_tokens: float = math.nan


@dataclass(frozen=True, slots=True)
class Fitted:
    """A calibration and the entry that scenarios use."""

    configuration: Configuration
    calibration: Calibration
    correction: Correction
    windows: Windows | None = None
    production: ProductionFit | None = None

    @property
    def usable(self) -> bool:
        """Whether the measurements fit together well enough to correct anything."""
        return not self.calibration.verdict.startswith("poor")


def read_tests(path: Path) -> tuple[LoadTest, ...]:
    """Load tests from a CSV file with the columns of COLUMNS (or their other names); wrong rows are named."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            names = {ALSO.get(name.strip(), name.strip()): name for name in reader.fieldnames or ()}
            missing = [name for name in COLUMNS if name not in names]
            if missing:
                raise InputError(str(path), f"columns {', '.join(COLUMNS)}", f"no {', '.join(missing)}", "Add them.")
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(str(path), "a CSV file of load tests", "no such file", "Check the path.") from None
    except UnicodeDecodeError as error:
        raise InputError(str(path), "UTF-8 text", str(error), "Save it as UTF-8.") from None
    tests = []
    for number, row in enumerate(rows, start=2):
        values = []
        for name in COLUMNS:
            text = (row[names[name]] or "").strip()
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{path}, line {number}, {name}", "a number above 0", repr(text), "Correct the row.")
            values.append(value)
        tests.append(LoadTest(values[0], values[1], values[2], values[3] * 1e-3))
    if not tests:
        raise InputError(str(path), "one load test or more", "none", "Add rows; 4 to 10 at different loads are best.")
    return tuple(tests)


def fit(asked: Asked) -> Fitted:
    """Calibrate one configuration. Raises InputError for unknown names and for files that cannot be used."""
    if (asked.runs is None) == (not asked.metrics):
        came = "both" if asked.metrics else "neither"
        raise InputError("command line", "--runs FILE or --metrics FILE", came, "Name one of them.")
    llm, gpu, engine = find_llm(asked.llm), find_gpu(asked.gpu), find_engine(asked.engine)
    validated(
        EvaluationPolicy,
        {
            "llms": [llm.name],
            "gpus": [gpu.name],
            "precisions": [asked.precision],
            "tensor_parallel": [asked.tensor_parallel],
            "kv_precision": asked.kv_precision,
            "engine": asked.engine,
        },
        "command line",
    )
    configuration = Configuration(
        llm.name, gpu.name, asked.precision, asked.kv_precision, asked.tensor_parallel, engine.name
    )
    setup = configuration, {llm.name: llm}, {gpu.name: gpu}, engine, load_coefficients()
    if asked.runs is not None:
        tests = read_tests(asked.runs)
        one, llms, gpus, engine, catalog = setup
        found = calibrate(observe(one, tests, llms, gpus, engine, catalog))
        return Fitted(configuration, found, _correction(configuration, found, f"load tests in {asked.runs.name}"))
    return _fit_metrics(asked, setup)


def _fit_metrics(
    asked: Asked, setup: tuple[Configuration, dict[str, Llm], dict[str, Gpu], Engine, CoefficientCatalog]
) -> Fitted:
    """Calibrate to windows of production metrics."""
    configuration, llms, gpus, engine, catalog = setup
    windows = read_windows(asked.metrics, asked.window_s, asked.served, asked.kv_tokens, asked.input_tokens)
    files = ", ".join(path.name for path in asked.metrics)
    if not windows.kept:
        why = "; ".join(f"{count} windows: {reason}" for reason, count in windows.rejected.items()) or "no whole window"
        raise InputError(files, "windows of steady load", why, "Export a longer span, or change --window.")
    if windows.engine != engine.name:
        raise InputError("--engine", f"{windows.engine}, whose metrics these are", engine.name, "Name that engine.")
    found = fit_windows(parts(configuration, windows.kept, llms, gpus, engine, catalog), windows.kept)
    first, last = (datetime.fromtimestamp(w.start_s, UTC) for w in (windows.kept[0], windows.kept[-1]))
    said = f"{len(windows.kept)} windows of {windows.window_s:g} s in {files}, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    return Fitted(
        configuration,
        found.calibration,
        _correction(configuration, found.calibration, f"production metrics: {said}"),
        windows,
        found,
    )


def _correction(one: Configuration, found: Calibration, citation: str) -> Correction:
    device, host_s, per_sequence_s, prefill = (float(value) for value in found.values)
    # A poor fit may ask for what no correction may say; it is shown and never written.
    device, prefill = max(device, LEAST_SHARE), max(prefill, LEAST_SHARE)
    return Correction(
        llm=one.llm,
        gpu=one.gpu,
        engine=one.engine,
        precision=one.precision,
        tensor_parallel=one.tensor_parallel,
        kv_precision="fp8" if one.kv_precision == "fp8" else "bf16",
        pipeline_parallel=one.pipeline_parallel,
        device=round(device, 5),
        host_ms=round(1e3 * host_s, 5),
        per_sequence_us=round(1e6 * per_sequence_s, 4),
        prefill=round(prefill, 5),
        points=found.points,
        error_before=round(found.error_before, 5),
        error_held_out=None if math.isnan(found.error_held_out) else round(found.error_held_out, 5),
        identified=found.identified,
        verdict=found.verdict,
        source=CatalogSource(citation=citation, as_of=f"{datetime.now(UTC):%Y-%m-%d}"),
    )


def write(fitted: Fitted, path: Path) -> None:
    """The correction as a file for `evaluate.calibration`; others that the file already holds are kept, save those of
    the same configuration, also where they do not say with which cache and stages they were measured."""
    kept: tuple[Correction, ...] = ()
    mine = fitted.correction
    if path.exists():
        known = load_coefficients(calibration=(path.resolve(),)).corrections
        kept = tuple(one for one in known if not mine.covers(one))
    file = CorrectionFile(corrections=(*kept, mine))
    path.write_text(dump_yaml(file.model_dump(mode="json")), encoding="utf-8")


def as_json(fitted: Fitted) -> str:
    """The correction for machines."""
    said: dict[str, object] = {**fitted.correction.model_dump(mode="json"), "usable": fitted.usable}
    if fitted.windows is not None and fitted.production is not None:
        ratio = fitted.production.ttft_ratio
        said["windows"] = {
            "kept": len(fitted.windows.kept),
            "rejected": fitted.windows.rejected,
            "replicas": fitted.windows.replicas,
            "window_s": fitted.windows.window_s,
            "notes": list(fitted.windows.notes),
            "ttft_predicted_over_measured": None if math.isnan(ratio) else ratio,
        }
    return json.dumps(said, indent=2) + "\n"


def show(console: Console, fitted: Fitted, written: Path | None) -> None:
    """What was fitted, how far to trust it, and how to use it."""
    found, mine = fitted.calibration, fitted.correction
    label = escape(fitted.configuration.label)
    if fitted.windows is None:
        console.print(f"[bold]{label}[/] on {mine.engine}, {found.points} load tests")
    else:
        _show_windows(console, label, fitted.windows, found.points)
    shown = (
        f"{mine.device:+.1%}",
        f"{mine.host_ms:+.3f} ms",
        f"{mine.per_sequence_us:+.1f} us",
        f"{mine.prefill:+.1%}",
    )
    for name, value in zip(COEFFICIENTS, shown, strict=True):
        known = "" if name in found.identified else "  [dim]not identified by these measurements: the prior holds[/]"
        console.print(f"  {name:16s} {value:>12s}{known}")
    after = "unknown" if mine.error_held_out is None else f"{mine.error_held_out:.1%}"
    each = "each test predicted from the others" if fitted.windows is None else "each stretch of time from the others"
    console.print(f"Mean error of time per token before {mine.error_before:.1%}; {each} {after}.")
    ratio = math.nan if fitted.production is None else fitted.production.ttft_ratio
    if not math.isnan(ratio):
        console.print(f"TTFT without its queue, not fitted: {ratio:.2f} times what was measured.")
    console.print(f"[bold]Verdict:[/] {escape(found.verdict)}")
    if written is not None:
        console.print(
            f"Written to {escape(str(written))}; name it in `evaluate.calibration` of a scenario.", soft_wrap=True
        )
    elif not fitted.usable:
        console.print("Nothing written: these measurements do not describe one configuration.")


def _show_windows(console: Console, label: str, windows: Windows, points: int) -> None:
    """Which windows were used, which were not and why, and the loads they saw."""
    kept, out = windows.kept, sum(windows.rejected.values())
    console.print(
        f"[bold]{label}[/], {windows.engine} metrics of {windows.replicas} replica{'s' * (windows.replicas > 1)}\n"
        f"{len(kept)} windows of {windows.window_s:g} s at {points} different loads, {out} set aside"
    )
    for reason, count in sorted(windows.rejected.items(), key=lambda item: -item[1]):
        console.print(f"  [dim]{count} {escape(reason)}[/]")
    for name, unit, factor in (("batch", "", 1.0), ("context_tokens", " tokens", 1.0), ("tpot_s", " ms", 1e3)):
        values = [factor * float(getattr(one, name)) for one in kept]
        console.print(f"  {name.removesuffix('_s'):16s} {min(values):,.4g} to {max(values):,.4g}{unit}")
    for note in windows.notes:
        console.print(f"  [dim]{escape(note)}[/]")
