"""Load-test results against the model: uncalibrated, calibrated, and with each point left out of its own fit.

    python -m benchmarks.loadtests --files FILE_OR_FOLDER ... --gpu H100-SXM [--llm NAME] [--precision bf16] [--tp 1]
        [--engine vllm] [--replicas N] [--cached-tokens N] [--max-num-seqs N]
        [--no-overlap] [--json]

Files of guidellm, aiperf, inference-perf and vllm bench serve. Implausible points are named and not scored; so are, on
stderr, damaged files of a folder and load tests that cannot be modelled, where others are left. Errors are mean
absolute relative errors over points of the median (the mean where the tool reports no median), and of p99. Precisions
are known by the spellings of measured runs, too (nvfp4, fp8_block).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measured_runs import PRECISIONS
from benchmarks.scores import strict
from configs.errors import InputError
from data.loadtests.read import UnknownFormatError, read_file, read_load_tests
from data.loadtests.records import LoadTest
from flows.loadtest import Answer, Question, examine


def score(answer: Answer) -> dict[str, Any]:
    """Errors in percent by stage and metric, points fitted and left out, doubts by kind."""
    kinds: dict[str, int] = {}
    for finding in answer.findings:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    found: dict[str, Any] = {
        "tool": answer.test.tool,
        "model": answer.test.model,
        "points": len(answer.test.points),
        "fitted_points": 0,
        "findings": kinds,
        "notes": list(answer.notes),
    }
    if answer.fit is not None:
        fit = answer.fit
        found |= {
            "fitted_points": len(fit.points),
            "error_percent": {
                stage: {metric: None if value != value else round(100.0 * value, 2) for metric, value in errors.items()}
                for stage, errors in fit.errors.items()
            },
            "verdict": fit.verdict,
        }
    return found


def read(paths: Sequence[Path]) -> tuple[LoadTest, ...]:
    """Load tests of files and folders; a damaged file of a folder is named on stderr, and the others are read.

    Raises InputError for a file that is named itself and cannot be read, and where no other is left.
    """
    try:
        return read_load_tests(paths)
    except InputError:
        sound = [each for path in paths for each in (_sound(path) if path.is_dir() else [path])]
        if not sound:
            raise
    return read_load_tests(sound)


def _sound(folder: Path) -> list[Path]:
    """The folder's files that hold load tests."""
    found = []
    for each in sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".csv")):
        try:
            read_file(each)
        except UnknownFormatError:
            continue
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            found.append(each)
    return found


def scores(tests: Sequence[LoadTest], question: Question) -> list[dict[str, Any]]:
    """Every test's score; one that cannot be modelled is named on stderr.

    Raises InputError where that is so of all, as where a name on the command line is not known.
    """
    found, refused = [], []
    for test in tests:
        try:
            found += [score(answer) for answer in examine([test], question)]
        except InputError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    for error in refused:
        print(f"left out: {error}", file=sys.stderr)
    return found


def precision_of(text: str) -> str:
    """The catalog's name of a weight precision; a text that names none as it is, for the command to refuse."""
    name = text.strip().lower().replace("-", "_")
    known = next((known for known, parts in PRECISIONS if any(part in name for part in parts)), text)
    if known != "fp8_block":
        return known
    # Plans and load tests know fp8 alone; only the step-time kernel has coefficients for GEMMs scaled by the block.
    print(f"{text}: scored with the coefficients of fp8 scaled by the tensor", file=sys.stderr)
    return "fp8"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loadtests",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--files", type=Path, nargs="+", required=True)
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--llm")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--kv-precision", default="bf16")
    parser.add_argument("--tp", type=int, default=1)
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--replicas", type=int)
    parser.add_argument("--cached-tokens", type=int, default=0)
    parser.add_argument("--max-num-seqs", type=int, default=0)
    parser.add_argument("--overlap", action=argparse.BooleanOptionalAction)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    question = Question(
        given.llm, given.gpu, precision_of(given.precision), precision_of(given.kv_precision), given.tp, given.engine,
        given.replicas, given.cached_tokens, given.max_num_seqs, given.overlap,
    )  # fmt: skip
    try:
        found = scores(read(given.files), question)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(strict(found), allow_nan=False))
        return 0
    for one in found:
        for key, value in one.items():
            if key == "error_percent":
                for stage, errors in value.items():
                    print(stage, " ".join(f"{k} {v}" for k, v in errors.items()))
            else:
                print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
