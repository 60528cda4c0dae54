"""One SELECT that turns source columns into canonical requests, with a reason for every row it cannot keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from configs.mapping import LogMapping
from data.readers.columns import Resolved
from data.readers.detect import Found
from data.readers.fields import FIRST_YEAR, LABELS, LAST_YEAR, LONGEST_DURATION_S, LONGEST_LABEL, MOST_TOKENS
from data.readers.fields import STATUS_WORDS as KNOWN_WORDS
from data.readers.lines import RECODED
from data.readers.session import ident, literal
from data.readers.times import UNIT_S, native, number, time_sql, with_zones

REPAIRS = (
    "bytes that are not UTF-8 are replaced",
    "a name is cleaned (control characters, a leading formula sign, over-long)",
    "cached tokens are capped at the input's",
    "an end-to-end time that cannot be is dropped",
    "a time to first token that cannot be is dropped",
    "a time without offset among times with one is taken in the declared zone",
    "an hour that a clock change repeats: the first of the two is taken",
    "a status that is not known is dropped",
    "a cached-token count that is no number is dropped",
)
"""What the bits of `repairs` mean, lowest first. Every repaired row is kept."""
NO_OFFSET = 1 << 5
"""Set for every time without offset: a repair only where other rows have one, which is known once all are read."""

_UNPRINTABLE = r"[\x00-\x1f\x7f\x{2028}\x{2029}]"
_FORMULA = r"^[=+\-@]"
_CODE_CLASS = re.compile("[1-5]xx")


def _empty(field: str) -> str:
    return f"(nullif(trim(CAST({ident(field)} AS VARCHAR)), '') IS NULL)"


def _label(field: str) -> tuple[str, str]:
    """SQL of a clean name (or NULL) and of whether it had to be cleaned. A leading `=`, `+`, `-` or `@` would make a
    spreadsheet run the name as a formula: it gets an apostrophe in front."""
    base = f"nullif(nullif(trim(CAST({ident(field)} AS VARCHAR)), ''), '-')"
    bad = f"(regexp_matches({base}, '{_FORMULA}|{_UNPRINTABLE}') OR length({base}) > {LONGEST_LABEL})"
    plain = f"left(regexp_replace({base}, '{_UNPRINTABLE}', '', 'g'), {LONGEST_LABEL})"
    safe = f"CASE WHEN regexp_matches({plain}, '{_FORMULA}') THEN '''' || {plain} ELSE {plain} END"
    return f"CASE WHEN {bad} THEN nullif({safe}, '') ELSE {base} END", f"coalesce({bad}, false)"


def _exact(value: str, lists: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"WHEN {value} IN ({', '.join(literal(word.lower()) for word in words)}) THEN {literal(name)}"
        for name, words in lists.items()
        if words
    ]


def _code_classes(value: str, lists: Mapping[str, Sequence[str]]) -> list[str]:
    """WHEN clauses of words such as `5xx`, which mean every code of their hundred that no word names."""
    return [
        f"WHEN length({value}) = 3 AND TRY_CAST({value} AS INTEGER) // 100 = {word[0]} THEN {literal(name)}"
        for name, words in lists.items()
        for word in words
        if _CODE_CLASS.fullmatch(word.lower())
    ]


def _with_status(relation: str, resolved: Resolved, found: Found) -> str:
    """The relation with `ended` and `ended_bad` more: the status, and whether it is a value that no word list has. The
    user's own words come before the usual ones. BurstGPT says it by the response: no token, failed."""
    if found.format == "burstgpt":
        tokens = number("output_tokens", native(found.types[resolved.columns["output_tokens"]]))
        ended = f"CASE WHEN ({tokens}) = 0 THEN 'failed' ELSE 'ok' END"
        return f"SELECT *, {ended} AS ended, false AS ended_bad FROM ({relation})"
    if "status" not in resolved.columns:
        return f"SELECT *, NULL::VARCHAR AS ended, false AS ended_bad FROM ({relation})"
    own = {name: getattr(resolved.mapping.status_words, name) for name in KNOWN_WORDS}
    cases = [case for lists in (own, KNOWN_WORDS) for case in (*_exact("word", lists), *_code_classes("word", lists))]
    text = f"lower(trim(CAST({ident('status')} AS VARCHAR), ' []\"'))"
    # A table with a hole in it keeps codes as floats: 200.0, and NaN for the hole. One step a query: what several
    # branches ask for is then computed once.
    trimmed = f"SELECT *, {text} AS word FROM ({relation})"
    whole = "CASE WHEN ends_with(word, '.0') THEN left(word, length(word) - 2) WHEN word <> 'nan' THEN word END"
    named = f"SELECT * REPLACE ({whole} AS word) FROM ({trimmed})"
    judged = f"SELECT *, CASE {' '.join(cases)} END AS ended FROM ({named})"
    return f"SELECT *, word <> '' AND ended IS NULL AS ended_bad FROM ({judged})"


def _seconds(field: str, resolved: Resolved, found: Found) -> tuple[str, str]:
    """SQL of a duration in seconds (or NULL) and of `given, but impossible`."""
    if field not in resolved.columns:
        return "NULL::DOUBLE", "false"
    unit = getattr(resolved.mapping, field.replace("_s", "_unit"))
    value = f"(({number(field, native(found.types[resolved.columns[field]]))}) * {UNIT_S[unit]!r})"
    ok = f"({value} BETWEEN 0 AND {LONGEST_DURATION_S!r})"
    return f"CASE WHEN {ok} THEN {value} END", f"(NOT {_empty(field)} AND coalesce(NOT {ok}, true))"


def _bad_count(value: str, field: str) -> str:
    """WHEN clauses for a token count that is missing, no whole number, or absurd."""
    return (
        f"WHEN {value} IS NULL AND {_empty(field)} THEN '{field}: empty' "
        f"WHEN {value} IS NULL OR isnan({value}) OR {value} <> floor({value}) OR {value} < 0 "
        f"THEN '{field}: not a whole number from 0' "
        f"WHEN {value} > {MOST_TOKENS} THEN '{field}: more than {MOST_TOKENS:,}' "
    )


def _constant(mapping: LogMapping, field: str) -> str:
    values = {str(name): value for name, value in mapping.constants.items()}
    return literal(values[field]) if field in values else "NULL::VARCHAR"


def _parsed_sql(relation: str, found: Found, resolved: Resolved, unit: str, passed: str) -> str:
    """Every field parsed (t, i, o, c, l_<label>, ...), and flags of what had to be repaired."""
    kinds = {field: native(found.types[at]) for field, at in resolved.columns.items()}
    if unit == "text" and kinds["timestamp"] == "text":
        relation = with_zones(relation)
    time = time_sql(resolved.mapping, kinds["timestamp"], unit)
    relation = _with_status(relation, resolved, found)
    duration, duration_bad = _seconds("duration_s", resolved, found)
    ttft, ttft_bad = _seconds("ttft_s", resolved, found)
    output = number("output_tokens", kinds["output_tokens"])
    if "status" in resolved.columns:
        # No count is a count of 0 for a request that is known to have come to nothing.
        output = f"CASE WHEN {_empty('output_tokens')} AND ended IN ('failed', 'cancelled') THEN 0.0 ELSE {output} END"
    cached, cached_bad = "NULL::DOUBLE", "false"
    if "cached_tokens" in resolved.columns:
        cached = number("cached_tokens", kinds["cached_tokens"])
        cached_bad = f"(NOT {_empty('cached_tokens')} AND coalesce(NOT ({cached} BETWEEN 0 AND 1e15), true))"
    picked = {"t": time.ts, "i": number("input_tokens", kinds["input_tokens"]), "o": output, "c": cached}
    picked |= {"p_status": "ended", "p_duration_s": duration, "p_ttft_s": ttft}
    dirty = []
    for field in (*LABELS, "request_id"):
        if field in resolved.columns:
            picked[f"l_{field}"], bad = _label(field)
            dirty.append(bad)
        else:
            picked[f"l_{field}"] = _constant(resolved.mapping, field)
    picked |= {
        "label_bad": " OR ".join(dirty) or "false", "status_bad": "coalesce(ended_bad, false)",
        "duration_bad": duration_bad, "ttft_bad": ttft_bad, "cached_bad": cached_bad,
        "twice": f"coalesce({time.twice}, false)",
        "no_offset": f"coalesce({time.no_offset}, false)", "zone_bad": f"coalesce({time.zone_bad}, false)",
    }  # fmt: skip
    listed = ", ".join(f"{sql} AS {name}" for name, sql in picked.items())
    return f"SELECT line, flag, raw, input_tokens, output_tokens, {listed}{passed} FROM ({relation})"


def canonical_sql(relation: str, found: Found, resolved: Resolved, unit: str, identity: tuple[str, ...] = ()) -> str:
    """SELECT line, raw (of rejects), reason (NULL: kept), repairs (bits), the canonical columns and row_key.

    unit: how the time column is written (`text`, `s`, `relative ms`, ...); identity: more source columns of the
    relation that tell rows apart and are passed on. row_key is the low half of an MD5 over everything the source says
    of a request, so that two exports of the same request agree on it.
    """
    passed = "".join(f", {name}" for name in identity)
    parsed = _parsed_sql(relation, found, resolved, unit, passed)
    object_check = "WHEN NOT json_valid(raw) OR left(ltrim(raw), 1) <> '{' THEN 'not a JSON object' "
    reason = (
        f"CASE {object_check if found.layout == 'jsonl' else ''}"
        "WHEN t IS NULL AND zone_bad THEN 'timestamp: a zone that is neither an offset, UTC, GMT nor an IANA name' "
        "WHEN t IS NULL THEN 'timestamp: not a time that exists (ISO 8601, or a number of one unit)' "
        f"WHEN year(t) NOT BETWEEN {FIRST_YEAR} AND {LAST_YEAR - 1} "
        f"THEN 'timestamp: before {FIRST_YEAR} or after {LAST_YEAR - 1}' "
        + _bad_count("i", "input_tokens")
        + _bad_count("o", "output_tokens")
        + "WHEN i = 0 AND o = 0 AND coalesce(p_status, 'ok') IN ('ok', 'retried') "
        "THEN 'neither input nor output tokens' END"
    )
    bits = (
        f"flag = {literal(RECODED)}", "label_bad", "c > i", "duration_bad", "ttft_bad", "no_offset", "twice",
        "status_bad", "cached_bad",
    )  # fmt: skip
    repairs = " + ".join(f"CASE WHEN {bit} THEN {1 << k} ELSE 0 END" for k, bit in enumerate(bits))
    labels = ", ".join(f"l_{field} AS {field}" for field in LABELS)
    ready = (
        f"SELECT line, raw, {reason} AS reason, CAST({repairs} AS INTEGER) AS repairs, t AS ts, "
        "CASE WHEN i BETWEEN 0 AND 1e15 THEN CAST(i AS BIGINT) END AS input_tokens, "
        "CASE WHEN o BETWEEN 0 AND 1e15 THEN CAST(o AS BIGINT) END AS output_tokens, "
        "CASE WHEN c BETWEEN 0 AND 1e15 AND i BETWEEN 0 AND 1e15 THEN CAST(floor(least(c, i)) AS BIGINT) END "
        f"AS cached_tokens, {labels}, p_status AS status, p_duration_s AS duration_s, p_ttft_s AS ttft_s, "
        f"l_request_id AS request_id{passed} FROM ({parsed})"
    )
    said = ["epoch_us(ts)", "input_tokens", "output_tokens", "cached_tokens", *LABELS, "status", "duration_s", "ttft_s"]
    texts = ", ".join(f"coalesce(CAST({part} AS VARCHAR), '')" for part in (*said, "request_id", *identity))
    return (
        "SELECT line, CASE WHEN reason IS NOT NULL THEN left(raw, 500) END AS raw, reason, "
        "CASE WHEN reason IS NULL THEN repairs ELSE 0 END AS repairs, ts, input_tokens, output_tokens, cached_tokens, "
        f"{', '.join(LABELS)}, status, duration_s, ttft_s, request_id, "
        f"CASE WHEN reason IS NULL THEN md5_number_lower(concat_ws(chr(31), {texts})) END AS row_key{passed} "
        f"FROM ({ready})"
    )
