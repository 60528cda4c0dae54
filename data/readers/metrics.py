"""Rows of the metrics table: counts by interval and label set, from hourly files and monitoring exports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.readers.fields import LABELS


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One value: what was counted from start_us (microseconds since 1970, UTC) for interval_s, or a gauge's reading
    (interval_s 0).

    le is the upper edge of a histogram bucket, infinity for the open one. labels holds the canonical labels and may
    hold `instance`, which tells replicas apart in the identity alone.
    """

    start_us: int
    interval_s: float
    labels: Mapping[str, str]
    metric: str
    le: float | None
    value: float

    def series_key(self) -> int:
        """Identity of the series: labels, replica, metric, bucket. What it missed is of the same series."""
        return _key(self.metric.removesuffix(UNSEEN), self.le, tuple(sorted(self.labels.items())))

    def row_key(self) -> int:
        """Identity without the value: what another export of the same interval shares."""
        return _key(self.start_us, self.interval_s, self.series_key())


@lru_cache(maxsize=65_536)
def _key(*parts: object) -> int:
    """64 bits of an MD5: the same in every process."""
    return int.from_bytes(hashlib.md5(repr(parts).encode(), usedforsecurity=False).digest()[:8], "little")


ARRIVAL_METRICS = ("requests", "succeeded", "failed", "cancelled")
STANDING_IN = {"input_length_count": "the length histograms", "e2e_s_count": "the latency histograms"}
"""What counts requests where no counter of them was exported, the first that is there."""

UNSEEN = "_unseen"
"""Ending of the metric of a row that says: within this interval the series went unseen, and counted so much."""

SCHEMA = pa.schema(
    [
        ("ts", pa.timestamp("us")),
        ("interval_s", pa.float64()),
        *[(name, pa.string()) for name in LABELS],
        ("metric", pa.string()),
        ("le", pa.float64()),
        ("value", pa.float64()),
        ("series_key", pa.uint64()),
        ("row_key", pa.uint64()),
    ]
)
BATCH = 50_000


def write_metrics(rows: Iterable[MetricRow], path: Path) -> int:
    """Writes rows in batches; their number. Values are finite by then."""
    written = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        batch: list[MetricRow] = []

        def flush() -> None:
            nonlocal written
            columns: dict[str, list[object]] = {
                "ts": [one.start_us for one in batch],
                "interval_s": [one.interval_s for one in batch],
                **{name: [one.labels.get(name) for one in batch] for name in LABELS},
                "metric": [one.metric for one in batch],
                "le": [one.le for one in batch],
                "value": [one.value for one in batch],
                "series_key": [one.series_key() for one in batch],
                "row_key": [one.row_key() for one in batch],
            }
            writer.write_table(pa.table(columns, schema=SCHEMA))
            written += len(batch)
            batch.clear()

        for row in rows:
            batch.append(row)
            if len(batch) >= BATCH:
                flush()
        flush()
    return written


def midnight_us(year: int, month: int, day: int) -> int:
    """Microseconds since 1970 of a UTC midnight."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000
