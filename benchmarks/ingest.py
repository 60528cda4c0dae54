"""How fast and in how much memory request rows become minute counts and length sketches by class.

    python -m benchmarks.ingest --rows 20000000 --json

Against the bare DuckDB group-by (minute x class, counts alone) over the same Parquet in the same run, each in a process
of its own, in turns; the best of the rounds counts. Memory is the peak resident set of the product's process, at a
quarter of the rows and at all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from configs.classes import ClassRules
from configs.validation import validated
from data.readers.session import literal, session
from data.statistics.brief import sketch

RULES = {
    "unmatched": "rest",
    "classes": [
        {"name": "chat", "match": {"service": ["chat"], "input_tokens": {"below": 4096}}},
        {"name": "chat-long", "match": {"service": ["chat"], "input_tokens": {"at_least": 4096}}},
        {"name": "code", "match": {"service": ["code"]}},
        {"name": "batch", "match": {"service": ["batch"]}},
    ],
}
BARE = """
SELECT date_trunc('minute', ts) AS minute,
       CASE WHEN service = 'chat' AND input_tokens < 4096 THEN 'chat' WHEN service = 'chat' THEN 'chat-long'
            WHEN service = 'code' THEN 'code' WHEN service = 'batch' THEN 'batch' ELSE 'rest' END AS class,
       count(*) AS requests
FROM read_parquet({path}) GROUP BY 1, 2
"""


def generate(path: Path, rows: int) -> None:
    """Thirty days of requests with lognormal lengths, written by the database itself."""
    normal = "sqrt(-2 * ln(random() + 1e-12)) * cos(2 * pi() * random())"
    connection = duckdb.connect(config={"memory_limit": "800MB", "temp_directory": str(path.parent / "spill")})
    connection.execute("SELECT setseed(0.5)")
    connection.execute(
        "COPY (SELECT TIMESTAMP '2026-01-05' + "
        f"to_microseconds(CAST((i + random()) * {30 * 86_400e6 / rows} AS BIGINT)) AS ts, "
        f"1 + CAST(exp(6.5 + 1.1 * {normal}) AS BIGINT) AS input_tokens, "
        f"1 + CAST(exp(5 + 0.9 * {normal}) AS BIGINT) AS output_tokens, NULL::BIGINT AS cached_tokens, "
        "['m1', 'm2', 'm3'][1 + CAST(floor(random() * 3) AS INTEGER)] AS llm, "
        "['chat', 'code', 'api', 'batch'][1 + CAST(floor(random() * 4) AS INTEGER)] AS service, "
        "'t' || CAST(floor(random() * 200) AS INTEGER) AS tenant, 'ok' AS status, 10 * random() AS duration_s, "
        f"hash(i) AS row_key FROM range({rows}) r(i)) TO {literal(path)} (FORMAT parquet, COMPRESSION zstd)"
    )
    connection.close()


def once(kind: str, path: Path) -> dict[str, float]:
    """Seconds of one run and the peak resident memory of this process, bytes."""
    relation = f"read_parquet({literal(path)})"
    with tempfile.TemporaryDirectory() as scratch, session(Path(scratch)) as connection:
        begun, worked = time.perf_counter(), time.process_time()
        if kind == "bare":
            bare = connection.execute(BARE.format(path=literal(path))).fetchnumpy()
            requests = int(bare["requests"].sum())
        else:
            rules = validated(ClassRules, RULES, "benchmark")
            found = sketch(connection, rules, relation)
            requests = int(found.minute_requests.sum())
            if int(found.bucket_requests.sum()) != requests:
                raise RuntimeError("the sketch lost requests")
        seconds, cpu = time.perf_counter() - begun, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": float(peak), "requests": requests}


def child(kind: str, path: Path) -> dict[str, float]:
    """`once` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--child", kind, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(rows: int, rounds: int) -> dict[str, float]:
    """Times in turns and peak memory at a quarter of the rows and at all."""
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small.parquet", Path(name) / "large.parquet"
        generate(small, rows // 4)
        generate(large, rows)
        pairs = [(child("bare", large), child("product", large)) for _ in range(rounds)]
        quarter = child("product", small)
    bare, product = (min(pair[side]["seconds"] for pair in pairs) for side in (0, 1))
    bare_cpu, product_cpu = (min(pair[side]["cpu_seconds"] for pair in pairs) for side in (0, 1))
    peak = max(other["peak_bytes"] for _, other in pairs)
    if {one["requests"] for pair in pairs for one in pair} != {rows}:
        raise RuntimeError("rows were lost")
    return {
        "rows": rows,
        "bare_group_by_s": bare,
        "counts_and_sketches_s": product,
        "ratio": product / bare,
        "bare_group_by_cpu_s": bare_cpu,
        "counts_and_sketches_cpu_s": product_cpu,
        "cpu_ratio": product_cpu / bare_cpu,
        "peak_bytes": peak,
        "peak_bytes_at_a_quarter": quarter["peak_bytes"],
        "memory_ratio": peak / quarter["peak_bytes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("KIND", "PATH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(once(arguments.child[0], Path(arguments.child[1]))))
        return
    found = measure(arguments.rows, arguments.rounds)
    if arguments.json:
        print(json.dumps(found))
        return
    print(
        f"{found['rows']:,} rows: bare group-by {found['bare_group_by_s']:.2f} s, minute counts and length sketches "
        f"{found['counts_and_sketches_s']:.2f} s ({found['ratio']:.2f} x); peak memory "
        f"{found['peak_bytes'] / 1e9:.2f} GB, {found['peak_bytes_at_a_quarter'] / 1e9:.2f} GB at a quarter of the rows"
    )


if __name__ == "__main__":
    main()
