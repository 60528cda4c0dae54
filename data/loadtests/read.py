"""Any result file, or a folder of them, by what it holds rather than by what it is called."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import InputError
from data.loadtests import aiperf, guidellm, guidellm_csv, inference_perf, vllm_bench
from data.loadtests.fields import Node, decoded
from data.loadtests.records import LoadPoint, LoadTest
from data.text_files import read_bytes

KNOWN = (
    "a result of guidellm (JSON, CSV), aiperf (JSON, JSONL, CSV), inference-perf (lifecycle JSON) or vllm bench serve "
    "(JSON)"
)
SAME = 5e-3
"""Two exports of one run agree to their rounding; two runs do not."""


def read_load_tests(paths: Sequence[Path]) -> tuple[LoadTest, ...]:
    """One LoadTest for every tool and model in these files and folders, its points by rising load.

    Exports of one run in several formats become one point; a summary over stages is dropped where the stages are there.
    Raises InputError for a file that is none of the known results, and for a folder without any.
    """
    found: list[LoadTest] = []
    skipped: list[str] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in (".json", ".jsonl", ".csv") and p.is_file())
            before = len(found)
            for each in inside:
                try:
                    found += read_file(each)
                except UnknownFormatError as error:
                    skipped.append(error.where)
            if len(found) == before:
                raise InputError(str(path), f"a folder with {KNOWN}", f"{len(inside)} other files", "Name the files.")
        else:
            found += read_file(path)
    if not found:
        raise InputError("load tests", "at least one file", "none", "Name the result files.")
    left = [f"no load-test results, left out: {', '.join(Path(name).name for name in skipped)}"] if skipped else []
    return tuple(_merged(group, left) for group in _groups(found))


class UnknownFormatError(InputError):
    """A file that is fine in itself but no result of a known tool."""


def read_file(path: Path) -> list[LoadTest]:
    """The LoadTests of one file: usually one; vllm bench appends runs to one file when asked to.

    Raises InputError naming file and field, whatever the file holds.
    """
    where = str(path)
    raw, _ = read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(where, "UTF-8 text", f"byte {raw[error.start]:#04x}", "Is this the right file?") from None
    if guidellm_csv.detect(text):
        return [guidellm_csv.read(where, text)]
    if text.lstrip().startswith(aiperf.HEADER):
        return [aiperf.read_csv(where, text)]
    values = _documents(where, text)
    if len(values) > 1 and all(aiperf.detect_line(value) for value in values):
        return [aiperf.read_lines(where, [Node(f"{where}, line {i + 1}", value) for i, value in enumerate(values)])]
    tests = []
    for i, value in enumerate(values):
        node = Node(where if len(values) == 1 else f"{where}, run {i + 1}", value)
        for reader in (guidellm, aiperf, inference_perf, vllm_bench):
            if reader.detect(value):
                tests.append(reader.read(node))
                break
        else:
            if aiperf.detect_line(value):
                tests.append(aiperf.read_lines(where, [node]))
                continue
            raise UnknownFormatError(
                node.where, KNOWN, _hint(value), "Name the file the tool's documentation calls its result."
            )
    return tests


def _hint(value: object) -> str:
    if isinstance(value, dict):
        if "avg_latency" in value or "elapsed_time" in value:
            return "a result of `vllm bench latency` or `throughput`, which measure no service curve"
        return f"an object with {', '.join(map(repr, list(value)[:6]))}" if value else "an empty object"
    return f"JSON of another kind ({type(value).__name__})"


def _documents(where: str, text: str) -> list[object]:
    """The JSON values of a text: one, a list of objects, or several one after the other."""
    decoder = json.JSONDecoder()
    values: list[object] = []
    at = 0
    try:
        while True:
            while at < len(text) and text[at].isspace():
                at += 1
            if at >= len(text):
                break
            value, at = decoder.raw_decode(text, at)
            values.append(value)
    except (ValueError, RecursionError):
        if text.lstrip()[:1] not in "{[":
            raise UnknownFormatError(
                where, KNOWN, "neither JSON nor a known CSV", "Name the file the tool wrote."
            ) from None
        # The decoder of a whole text names the line.
        decoded(where, text[at:])
        raise InputError(where, "JSON", "a damaged document", "Run the test again.") from None
    if len(values) == 1 and isinstance(values[0], list) and values[0]:
        return values[0]
    return values


def _groups(tests: Sequence[LoadTest]) -> list[list[LoadTest]]:
    """By tool and model; files that name no model belong to what lies in their folder."""

    def folder(test: LoadTest) -> Path:
        return Path(test.files[0].partition(", run ")[0]).parent

    groups: list[list[LoadTest]] = []
    for test in tests:
        for group in groups:
            models = {each.model for each in (*group, test)}
            near = folder(test) in {folder(each) for each in group}
            if group[0].tool == test.tool and (models == {test.model} - {""} or (near and len(models - {""}) <= 1)):
                group.append(test)
                break
        else:
            groups.append([test])
    return groups


def _merged(tests: Sequence[LoadTest], skipped: Sequence[str]) -> LoadTest:
    notes = [*skipped, *(note for test in tests for note in test.notes)]
    points: list[LoadPoint] = []
    for point in (p for test in tests for p in test.points):
        twin = next((i for i, other in enumerate(points) if _same_run(point, other)), None)
        if twin is None:
            points.append(point)
        else:
            notes.append(f"{point.source} and {points[twin].source} are exports of one run: read as one point")
            points[twin] = _joined(points[twin], point)
    stages = [point for point in points if not point.aggregate]
    if stages and len(stages) < len(points):
        notes += [f"{p.source} sums up all stages and was left out" for p in points if p.aggregate]
        points = stages

    def load(point: LoadPoint) -> float:
        return point.clients if math.isnan(point.offered_rps) else point.offered_rps

    points.sort(key=lambda p: (load(p) if not math.isnan(load(p)) else p.achieved_rps, p.achieved_rps))
    points = _labelled(points)
    fields = ("version", "model", "day")
    first = {field: next((getattr(t, field) for t in tests if getattr(t, field)), "") for field in fields}
    files = tuple(name for test in tests for name in test.files)
    return LoadTest(tests[0].tool, first["version"], first["model"], tuple(points), files, tuple(notes), first["day"])


def _labelled(points: Sequence[LoadPoint]) -> list[LoadPoint]:
    """The points under labels of their own: repeated loads are numbered."""
    seen: dict[str, int] = {}
    found = []
    for point in points:
        seen[point.label] = seen.get(point.label, 0) + 1
        number = seen[point.label]
        found.append(point if number == 1 else replace(point, label=f"{point.label} ({number})"))
    return found


def _same_run(a: LoadPoint, b: LoadPoint) -> bool:
    """Whether two points are exports of one run in different formats."""
    if a.requests_ok != b.requests_ok or Path(a.source.partition(", ")[0]) == Path(b.source.partition(", ")[0]):
        return False
    pairs = ((a.ttft_s.mean, b.ttft_s.mean), (a.e2e_s.mean, b.e2e_s.mean), (a.achieved_rps, b.achieved_rps))
    close = [abs(x - y) <= SAME * max(x, y) for x, y in pairs if not math.isnan(x) and not math.isnan(y)]
    return len(close) >= 2 and all(close)


def _joined(a: LoadPoint, b: LoadPoint) -> LoadPoint:
    """The export that knows its load, with the other's requests."""
    known = [p for p in (a, b) if p.arrivals != "unstated"] or [a]
    rows = a.rows if a.rows is not None else b.rows
    # JSON before CSV, which is rounded.
    best = min(known, key=lambda p: ".csv" in p.source)
    return replace(best, rows=rows)
