"""Class rules as SQL against the obvious twin in Python."""

from __future__ import annotations

from itertools import product
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.classes import ClassRules
from configs.matching import Match
from data.classes import class_sql

NAMES = (None, "chat", "chat-eu", "code")
ROWS = list(product(NAMES, (None, "acme", "b"), range(0, 12, 3), (1, 5)))
PATTERNS = st.sampled_from([None, ("chat",), ("chat*",), ("chat", "code"), ("!chat",), ("!chat*", "!code")])
RANGES = st.sampled_from([None, {"below": 4}, {"at_least": 4}, {"at_least": 2, "below": 8}])
MATCHES = st.fixed_dictionaries(
    {"service": PATTERNS, "tenant": st.sampled_from([None, ("acme",), ("!acme",)]), "input_tokens": RANGES}
)


def label_matches(patterns: tuple[str, ...] | None, value: str | None) -> bool:
    if patterns is None:
        return True
    hit = any(
        value is not None and (value.startswith(one[:-1]) if one.endswith("*") else value == one)
        for one in (pattern.removeprefix("!") for pattern in patterns)
    )
    return not hit if patterns[0].startswith("!") else hit


def twin(rules: ClassRules, row: tuple[Any, ...]) -> int:
    """The first rule whose conditions all hold."""
    service, tenant, tokens, _ = row

    def holds(match: Match) -> bool:
        bucket = match.input_tokens
        fits = bucket is None or (bucket.at_least <= tokens and (bucket.below is None or tokens < bucket.below))
        return label_matches(match.service, service) and label_matches(match.tenant, tenant) and fits

    return next((i for i, rule in enumerate(rules.classes) if holds(rule.match)), len(rules.classes))


@settings(max_examples=15)
@given(st.lists(MATCHES, max_size=5))
def test_the_class_of_every_row(matches: list[dict[str, Any]]) -> None:
    kept: list[dict[str, Any]] = []
    for i, match in enumerate(matches):
        try:
            ClassRules.model_validate({"classes": [*kept, {"name": f"c{i}", "match": match}]})
        except ValidationError:
            continue
        kept.append({"name": f"c{i}", "match": match})
    assume(kept)
    rules = ClassRules.model_validate({"classes": kept})
    columns = zip(*ROWS, strict=True)
    table = pa.table(dict(zip(("service", "tenant", "input_tokens", "output_tokens"), map(list, columns), strict=True)))
    with duckdb.connect() as connection:
        connection.register("rows", table)
        found = [row[0] for row in connection.execute(f"SELECT {class_sql(rules)} FROM rows").fetchall()]
    assert found == [twin(rules, row) for row in ROWS]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_rules_told_apart_by_length_alone(order: tuple[int, int]) -> None:
    """Their labels have requests in common, so that neither may hide the other's."""
    pair = [
        {"name": "short", "match": {"service": ["chat"], "input_tokens": {"below": 4}}},
        {"name": "acme", "match": {"tenant": ["acme"], "input_tokens": {"at_least": 4}}},
    ]
    rules = ClassRules.model_validate({"classes": [pair[i] for i in order]})
    with duckdb.connect() as connection:
        row = "SELECT 'chat' AS service, 'acme' AS tenant, 9 AS input_tokens, 1 AS output_tokens"
        assert connection.execute(f"SELECT {class_sql(rules)} FROM ({row})").fetchall() == [(order.index(1),)]
