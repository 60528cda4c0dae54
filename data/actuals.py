"""What production did, as a long CSV: one row a series and hour, with token totals where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import InputError
from data.ledger.records import HOUR, Actual
from data.records import SeriesKey
from data.text_files import first_line, numbers, read_bytes, read_table

LABELS = tuple(one.name for one in fields(SeriesKey))
TENANT = "tenant"
TOKENS = ("input_tokens", "output_tokens", "cached_tokens")


@dataclass(frozen=True, slots=True)
class MeasuredMix:
    """Mean tokens of a request and the share of input tokens found in the cache (None: not in the file), and how many
    requests they rest on."""

    requests: float
    input_tokens: float | None
    output_tokens: float | None
    cache_hit: float | None


@dataclass(frozen=True, slots=True)
class ActualTraffic:
    """Requests by series, the measured mix by (LLM, class) where the file has tokens, and the file's SHA-256.

    tenants: requests by series and tenant over the hours of the series, where the file names tenants.
    """

    series: tuple[Actual, ...]
    mix: Mapping[tuple[str, str], MeasuredMix]
    sha256: str
    tenants: Mapping[tuple[SeriesKey, str], Actual] = field(default_factory=dict)


def header(path: Path) -> tuple[str, ...]:
    """The column names of a CSV."""
    raw, _ = read_bytes(path)
    line = raw.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")
    return tuple(name.strip().strip('"') for name in line.split(","))


def read_actuals(path: Path, columns: Sequence[str] | None = None) -> ActualTraffic:
    """Reads `ts, <labels of a series>, requests [, tenant, input_tokens, output_tokens, cached_tokens]`; tokens are
    totals of the hour, ts is the start of an hour with an offset (or Z). Tenants of a series add up.

    Hours that are not in the file count as not observed. Raises InputError naming line and column.
    """
    there = header(path) if columns is None else columns
    tokens = [name for name in TOKENS if name in there]
    whose = [TENANT] if TENANT in there else []
    raw, digest = read_table(path, ["ts", *LABELS, *whose, "requests", *tokens])
    ts = pd.to_datetime(raw["ts"], errors="coerce", utc=True, format="ISO8601")
    zoned = raw["ts"].str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True)
    off = ts.isna() | (ts != ts.dt.floor("h")) | ~zoned
    if off.any():
        line = first_line(off)
        raise InputError(
            f"{path}, line {line}, column 'ts'",
            "the start of an hour with its offset, such as 2026-11-21T18:00Z",
            repr(raw["ts"][line]),
            f"Correct the value ({int(off.sum())} such rows).",
        )
    for name in (*LABELS, *whose):
        empty = raw[name].str.strip() == ""
        if empty.any():
            raise InputError(f"{path}, line {first_line(empty)}, column {name!r}", "a name", "nothing", "Fill it in.")
    table = raw[[*LABELS, *whose]].assign(ts=ts, requests=numbers(path, raw["requests"], "requests"))
    for name in tokens:
        table[name] = numbers(path, raw[name], f"{name.replace('_', ' ')} of the hour")
    twice = table.duplicated([*LABELS, *whose, "ts"])
    if twice.any():
        line = first_line(twice)
        each = "one row a series, tenant and hour" if whose else "one row a series and hour"
        raise InputError(f"{path}, line {line}", each, f"a second row for {raw['ts'][line]}", "Keep one.")
    series, tenants = [], {}
    for labels, one in table.groupby(list(LABELS)):
        key = SeriesKey(*map(str, labels))
        hours = one["ts"].dt.tz_convert(None).to_numpy().astype("datetime64[h]")
        first = hours.min()
        at = ((hours - first) / HOUR).astype(int)
        requests = np.full(at.max() + 1, np.nan)
        requests[at] = 0.0
        if whose:
            # In an hour that was observed, a tenant without a row sent nothing.
            for name in sorted(set(one[TENANT])):
                mine = (one[TENANT] == name).to_numpy()
                alone = requests.copy()
                alone[at[mine]] = one["requests"].to_numpy()[mine]
                tenants[key, str(name)] = Actual(key, first, alone)
        np.add.at(requests, at, one["requests"].to_numpy())
        series.append(Actual(key, first, requests))
    return ActualTraffic(tuple(series), _mix(table, tokens), digest, tenants)


def _mix(table: pd.DataFrame, tokens: Sequence[str]) -> dict[tuple[str, str], MeasuredMix]:
    if not tokens:
        return {}
    found = {}
    for (llm, name), one in table.groupby(["llm", "request_class"]):
        requests = float(one["requests"].sum())
        if requests <= 0:
            continue
        totals = {column: float(one[column].sum()) for column in tokens}
        given = totals.get("input_tokens")
        found[str(llm), str(name)] = MeasuredMix(
            requests,
            None if given is None else given / requests,
            None if "output_tokens" not in totals else totals["output_tokens"] / requests,
            totals["cached_tokens"] / given if given and "cached_tokens" in totals else None,
        )
    return found


def overlaid_series(old: Actual | None, new: Actual | None) -> Actual | None:
    """What is known of a series from both: hours that `new` observes replace those of `old`."""
    if old is None or new is None:
        return new if old is None else old
    if asdict(old.key) != asdict(new.key):
        raise ValueError("two series")
    first = min(old.first_hour, new.first_hour)
    stop = max(old.end, new.end)
    before, after = old.between(first, stop), new.between(first, stop)
    return Actual(old.key, first, np.where(np.isnan(after), before, after))
