"""Coefficients from one's own load tests: fitted, judged, and written for scenarios to use."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from configs.catalog_schema import CatalogSource, Correction, CorrectionFile
from configs.errors import InputError
from configs.evaluation import EvaluationPolicy
from configs.validation import validated
from configs.yaml_files import dump_yaml
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.records import Configuration
from models.calibrate import COEFFICIENTS, Calibration, calibrate
from models.observe import LoadTest, observe

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
    runs: Path


@dataclass(frozen=True, slots=True)
class Fitted:
    """A calibration and the entry that scenarios use."""

    configuration: Configuration
    calibration: Calibration
    correction: Correction

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
    tests = read_tests(asked.runs)
    found = calibrate(observe(configuration, tests, {llm.name: llm}, {gpu.name: gpu}, engine, load_coefficients()))
    device, host_s, per_sequence_s, prefill = (float(value) for value in found.values)
    correction = Correction(
        llm=llm.name,
        gpu=gpu.name,
        engine=engine.name,
        precision=asked.precision,
        tensor_parallel=asked.tensor_parallel,
        device=round(device, 5),
        host_ms=round(1e3 * host_s, 5),
        per_sequence_us=round(1e6 * per_sequence_s, 4),
        prefill=round(prefill, 5),
        points=found.points,
        error_before=round(found.error_before, 5),
        error_held_out=None if math.isnan(found.error_held_out) else round(found.error_held_out, 5),
        identified=found.identified,
        verdict=found.verdict,
        source=CatalogSource(citation=f"load tests in {asked.runs.name}", as_of=f"{datetime.now(UTC):%Y-%m-%d}"),
    )
    return Fitted(configuration, found, correction)


def write(fitted: Fitted, path: Path) -> None:
    """The correction as a file for `evaluate.calibration`; others that the file already holds are kept."""
    kept: tuple[Correction, ...] = ()
    mine = fitted.correction
    key = (mine.llm, mine.gpu, mine.engine, mine.precision, mine.tensor_parallel)
    if path.exists():
        known = load_coefficients(calibration=(path.resolve(),)).corrections
        kept = tuple(one for one in known if (one.llm, one.gpu, one.engine, one.precision, one.tensor_parallel) != key)
    file = CorrectionFile(corrections=(*kept, mine))
    path.write_text(dump_yaml(file.model_dump(mode="json")), encoding="utf-8")


def as_json(fitted: Fitted) -> str:
    """The correction for machines."""
    return json.dumps({**fitted.correction.model_dump(mode="json"), "usable": fitted.usable}, indent=2) + "\n"


def show(console: Console, fitted: Fitted, written: Path | None) -> None:
    """What was fitted, how far to trust it, and how to use it."""
    found, mine = fitted.calibration, fitted.correction
    console.print(f"[bold]{escape(fitted.configuration.label)}[/] on {mine.engine}, {found.points} load tests")
    shown = (
        f"{mine.device:+.1%}",
        f"{mine.host_ms:+.3f} ms",
        f"{mine.per_sequence_us:+.1f} us",
        f"{mine.prefill:+.1%}",
    )
    for name, value in zip(COEFFICIENTS, shown, strict=True):
        known = "" if name in found.identified else "  [dim]not identified by these tests: the prior holds[/]"
        console.print(f"  {name:16s} {value:>12s}{known}")
    after = "unknown" if mine.error_held_out is None else f"{mine.error_held_out:.1%}"
    console.print(f"Mean error before {mine.error_before:.1%}; of each test predicted from the others {after}.")
    console.print(f"[bold]Verdict:[/] {escape(found.verdict)}")
    if written is not None:
        console.print(
            f"Written to {escape(str(written))}; name it in `evaluate.calibration` of a scenario.", soft_wrap=True
        )
    elif not fitted.usable:
        console.print("Nothing written: these tests do not describe one configuration.")
