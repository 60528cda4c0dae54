"""Prefix-cache potential of a trace with block hashes: what a cache that forgets nothing would have found."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import pyarrow as pa

BLOCK_TOKENS = 512
"""Tokens a hash stands for (Mooncake's published traces)."""


def leading_hits(blocks: list[int], seen: set[int]) -> int:
    """How many leading blocks are in `seen`; then all of `blocks` are added to it. A hash names its whole prefix, so
    that a block is only of use after all before it."""
    hits = 0
    for block in blocks:
        if block not in seen:
            break
        hits += 1
    seen.update(blocks)
    return hits


def cached_potential(connection: duckdb.DuckDBPyConnection, judged: str, columns: str) -> tuple[str, str]:
    """SQL of the kept rows with cached_tokens filled in, and a note.

    Requests are replayed in order of arrival through one cache without limit: cached = leading known blocks x 512, at
    most input - 1 (the last token is always computed). The result is an upper bound for caches that evict or shard.
    `judged`: rows with line, why, ts, input_tokens and x0 (the hashes as a JSON list).
    """
    cursor = connection.execute(f"SELECT line, input_tokens, x0 FROM {judged} WHERE why IS NULL ORDER BY ts, line")
    seen: set[int] = set()
    lines: list[int] = []
    cached: list[int] = []
    unknown = inputs = hits = 0
    while rows := cursor.fetchmany(20_000):
        for line, tokens, text in rows:
            try:
                blocks = [int(block) for block in json.loads(text)] if text else []
            except (TypeError, ValueError, OverflowError, RecursionError):
                blocks, unknown = [], unknown + 1
            found = min(leading_hits(blocks, seen) * BLOCK_TOKENS, max(int(tokens) - 1, 0))
            lines.append(int(line))
            cached.append(found)
            inputs += int(tokens)
            hits += found
    table = pa.table({"line": np.array(lines, dtype=np.int64), "potential": np.array(cached, dtype=np.int64)})
    connection.register("mooncake_potential", table)
    filled = columns.replace('"cached_tokens"', "potential AS cached_tokens")
    share = hits / inputs if inputs else 0.0
    note = (
        f"cached tokens are the potential of a prefix cache without limit ({share:.1%} of input tokens, "
        f"{len(seen):,} distinct blocks of {BLOCK_TOKENS} tokens), replayed in order of arrival"
    )
    if unknown:
        note += f"; {unknown} rows have unreadable block hashes and count as uncached"
    return f"SELECT {filled} FROM {judged} JOIN mooncake_potential USING (line) WHERE why IS NULL ORDER BY line", note
