"""Whose requests they were: requests of a class by tenant and day, from an ingested dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from configs.classes import ClassRules
from configs.traffic import Ingested
from data.classes import class_names, class_sql
from data.dataset import opened
from data.history import TenantDays
from data.ingested import selection
from data.statistics.counts import without_strays
from data.units import SECONDS_PER_HOUR

MOST_TENANTS = 20
UNNAMED, OTHERS = "unnamed", "others"


def tenant_days(source: Ingested, base: Path, rules: ClassRules | None, name: str) -> TenantDays | None:
    """The logged requests of class `name` by UTC day and tenant; None where no row names a tenant.

    The largest 20 tenants stand alone; the rest are `others`, and rows without a tenant `unnamed`. Strays (see
    data/statistics/counts.py) are left out, as they are of every count by time."""
    chosen, name = selection(rules, name, source.match)
    number = class_names(chosen).index(name)
    with opened(base / source.dataset) as (_, connection):
        found = connection.execute(
            "SELECT epoch_us(ts) // 86400000000 AS day, tenant, count(*) AS n FROM requests "
            f"WHERE {class_sql(chosen)} = {number} GROUP BY ALL"
        ).fetchall()
        # What a stray is, all requests of the dataset tell together.
        every = connection.execute(
            "SELECT epoch_us(ts) // 86400000000 AS day, count(*) AS n FROM requests GROUP BY 1"
        ).fetchnumpy()
    dates = np.asarray(every["day"], dtype=np.int64)
    whole = set(dates[without_strays(dates, np.asarray(every["n"], dtype=np.float64), 24 * SECONDS_PER_HOUR)].tolist())
    found = [row for row in found if row[0] in whole]
    sums: dict[str, int] = {}
    for _, tenant, count in found:
        sums[tenant or UNNAMED] = sums.get(tenant or UNNAMED, 0) + count
    if set(sums) <= {UNNAMED}:
        return None
    largest = sorted(sums, key=lambda one: (-sums[one], one))[:MOST_TENANTS]
    names = [*sorted(largest), *([OTHERS] if len(sums) > len(largest) and OTHERS not in largest else [])]
    first = min(day for day, _, _ in found)
    requests = np.zeros((max(day for day, _, _ in found) - first + 1, len(names)))
    for day, tenant, count in found:
        whose = tenant or UNNAMED
        requests[day - first, names.index(whose if whose in largest else OTHERS)] += count
    return TenantDays(tuple(names), str(np.datetime64(int(first), "D")), requests)
