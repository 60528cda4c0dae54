"""What a dataset says of its requests besides their lengths: how they divide over the names of a label."""

from __future__ import annotations

from pathlib import Path

from configs.matching import Match
from data.classes import match_sql
from data.dataset import opened
from data.readers.metrics import ARRIVAL_METRICS
from data.readers.session import ident


def label_shares(folder: Path, field: str, match: Match | None = None) -> dict[str | None, float]:
    """Share of the requests that match of each name of a label (`llm`, `region`, ...; None: rows without one), largest
    first.

    Of the logged requests; where there are none, of those that engines counted. Empty where there is neither.
    """
    column = ident(field)
    listed = ", ".join(f"'{name}'" for name in ARRIVAL_METRICS)
    mine, metered = (match_sql(match or Match(), tokens) for tokens in (True, False))
    with opened(folder) as (_, connection):
        found = connection.execute(f"SELECT {column}, count(*) FROM requests WHERE {mine} GROUP BY 1").fetchall()
        if not found:
            sql = f"SELECT {column}, sum(value) FROM metrics WHERE metric IN ({listed}) AND {metered} GROUP BY 1"
            found = connection.execute(sql).fetchall()
    total = sum(float(count) for _, count in found)
    shares = {name or None: float(count) / total for name, count in found} if total > 0.0 else {}
    return dict(sorted(shares.items(), key=lambda one: (-one[1], one[0] or "")))
