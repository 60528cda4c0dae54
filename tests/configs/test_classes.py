"""Class rules: overlaps and unreachable rules are errors, proved against a brute-force twin."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.classes import ClassRules
from configs.errors import InputError
from configs.matching import Match, TokenRange, common
from configs.validation import validated


def rules(*matches: dict[str, Any], **more: Any) -> ClassRules:
    raw = {"classes": [{"name": f"c{i}", "match": match} for i, match in enumerate(matches)]} | more
    return validated(ClassRules, raw, "rules.yaml")


@pytest.mark.parametrize(
    ("matches", "message"),
    [
        ([{"service": ["chat"]}, {"tenant": ["acme"]}], "service chat, tenant acme matches both"),
        ([{"tenant": ["ac*"]}, {"tenant": ["acme", "x"]}], "tenant acme matches both"),
        ([{}, {"llm": ["m"]}], "llm m matches both"),
        ([{"input_tokens": {"below": 4096}}, {"input_tokens": {"at_least": 4000}}], "4000 input tokens matches both"),
        ([{"input_tokens": {"at_least": 9, "below": 9}}], "unreachable: no length"),
        ([{"service": []}], "unreachable: `service` is an empty list"),
        ([{"service": ["a*", "ab"]}], "unreachable: `service` lists 'ab'"),
        ([{"service": ["a", "!b"]}], "mixes names and exclusions"),
        ([{"sevice": ["a"]}], "did you mean `service`|not a known key"),
    ],
)
def test_overlaps_and_unreachable_rules_are_errors(matches: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rules(*matches)


def test_disjoint_rules_are_accepted() -> None:
    found = rules(
        {"service": ["chat"], "input_tokens": {"below": 4096}},
        {"service": ["chat"], "input_tokens": {"at_least": 4096}},
        {"service": ["!chat"], "tenant": ["acme*"]},
        {"service": ["!chat"], "tenant": ["!acme*"]},
    )
    assert len(found.classes) == 4
    with pytest.raises(InputError, match="given twice"):
        validated(ClassRules, {"classes": [{"name": "a", "match": {"llm": ["x"]}}] * 2}, "r")
    with pytest.raises(InputError, match="name of the unmatched class"):
        rules({"llm": ["x"]}, unmatched="c0")


PATTERNS = st.one_of(
    st.none(),
    st.lists(st.sampled_from(["a", "ab", "b", "b*", "ca*"]), min_size=1, max_size=2),
    st.lists(st.sampled_from(["!a", "!ab*", "!b*", "!c"]), min_size=1, max_size=2),
)
RANGES = st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(1, 3)))


def hit(patterns: tuple[str, ...] | None, value: str | None) -> bool:
    if patterns is None:
        return True
    negated = patterns[0].startswith("!")
    names = [pattern.lstrip("!") for pattern in patterns]
    found = value is not None and any(value.startswith(n[:-1]) if n.endswith("*") else value == n for n in names)
    return found != negated


def matches(match: Match, service: str | None, tenant: str | None, tokens: int) -> bool:
    bucket = match.input_tokens
    inside = bucket is None or (tokens >= bucket.at_least and (bucket.below is None or tokens < bucket.below))
    return hit(match.service, service) and hit(match.tenant, tenant) and inside


RULE = st.tuples(PATTERNS, PATTERNS, RANGES)


@given(RULE, RULE)
def test_common_against_brute_force(one: Any, other: Any) -> None:
    made = []
    for service, tenant, span in (one, other):
        bucket = None if span is None else TokenRange(at_least=span[0], below=span[0] + span[1])
        made.append(Match.model_construct(
            llm=None, slo_tier=None, region=None, output_tokens=None, input_tokens=bucket,
            service=None if service is None else tuple(service), tenant=None if tenant is None else tuple(tenant),
        ))  # fmt: skip
    names = [None, "a", "ab", "abz", "b", "bz", "c", "ca", "caz", "z"]
    both = any(all(matches(m, s, t, n) for m in made) for s, t, n in product(names, names, range(8)))
    assert (common(made[0], made[1]) is not None) == both
