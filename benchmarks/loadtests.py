"""Load-test results against the model: uncalibrated, calibrated, and with each point left out of its own fit.

    python -m benchmarks.loadtests --files FILE_OR_FOLDER ... --gpu H100-SXM [--llm NAME] [--precision bf16] [--tp 1]
        [--engine vllm] [--replicas N] [--cached-tokens N] [--max-num-seqs N]
        [--no-overlap] [--json]

Files of guidellm, aiperf, inference-perf and vllm bench serve. Implausible points are named and not scored. Errors are
mean absolute relative errors over points of the median (the mean where the tool reports no median), and of p99.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from data.loadtests.read import read_load_tests
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    given = parser.parse_args()
    question = Question(
        given.llm, given.gpu, given.precision, given.kv_precision, given.tp, given.engine,
        given.replicas, given.cached_tokens, given.max_num_seqs, given.overlap,
    )  # fmt: skip
    found = [score(answer) for answer in examine(read_load_tests(given.files), question)]
    if given.json:
        print(json.dumps(found))
        return
    for one in found:
        for key, value in one.items():
            if key == "error_percent":
                for stage, errors in value.items():
                    print(stage, " ".join(f"{k} {v}" for k, v in errors.items()))
            else:
                print(f"{key}: {value}")


if __name__ == "__main__":
    main()
