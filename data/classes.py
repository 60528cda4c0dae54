"""Class rules as SQL, over requests and over metric rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from configs.classes import ClassRules
from configs.matching import LABEL_FIELDS, TOKEN_FIELDS, Match, common
from data.readers.session import ident, literal


def _label_sql(field: str, patterns: Sequence[str]) -> str:
    bare = [pattern.removeprefix("!") for pattern in patterns]
    column = ident(field)
    exact = [literal(name) for name in bare if not name.endswith("*")]
    parts = [f"{column} IN ({', '.join(exact)})"] if exact else []
    parts += [f"starts_with({column}, {literal(name[:-1])})" for name in bare if name.endswith("*")]
    matched = f"({' OR '.join(parts)})"
    return f"({column} IS NULL OR NOT {matched})" if patterns[0].startswith("!") else matched


def match_sql(match: Match, tokens: bool = True) -> str:
    """A condition over the canonical columns. tokens False: for metric rows, which have no lengths; a rule that asks
    for a length then matches nothing."""
    parts = [_label_sql(field, patterns) for field in LABEL_FIELDS if (patterns := getattr(match, field)) is not None]
    for field in TOKEN_FIELDS:
        bucket = getattr(match, field)
        if bucket is None:
            continue
        if not tokens:
            return "false"
        parts += [f"{field} >= {bucket.at_least}"] if bucket.at_least else []
        parts += [f"{field} < {bucket.below}"] if bucket.below is not None else []
    return " AND ".join(parts) or "true"


def class_names(rules: ClassRules) -> tuple[str, ...]:
    """Names by number: the rules in their order, then the unmatched class."""
    return (*(rule.name for rule in rules.classes), rules.unmatched)


def _labels_of(match: Match) -> Match:
    return match.model_copy(update=dict.fromkeys(TOKEN_FIELDS))


def _cases(rules: ClassRules, tokens: bool) -> str:
    """WHEN clauses of all rules. Rules that share their labels and differ by length are asked for their labels once:
    comparing names costs more than the rest. That is the same where no two sets of labels have a request in common."""
    groups: dict[Match, list[int]] = {}
    for i, rule in enumerate(rules.classes):
        groups.setdefault(_labels_of(rule.match), []).append(i)
    if not tokens or any(common(a, b) for a, b in combinations(groups, 2)):
        return " ".join(f"WHEN {match_sql(rule.match, tokens)} THEN {i}" for i, rule in enumerate(rules.classes))
    clauses = []
    for labels, members in groups.items():
        lengths = {i: match_sql(rules.classes[i].match.model_copy(update=dict.fromkeys(LABEL_FIELDS))) for i in members}
        inner = " ".join(f"WHEN {sql} THEN {i}" for i, sql in lengths.items())
        chosen = str(members[0]) if "true" in lengths.values() else f"CASE {inner} ELSE {len(rules.classes)} END"
        clauses.append(f"WHEN {match_sql(labels)} THEN {chosen}")
    return " ".join(clauses)


def class_sql(rules: ClassRules, tokens: bool = True) -> str:
    """The number of a row's class (index into `class_names`) as a small integer: cheap to group by."""
    cases = _cases(rules, tokens)
    last = len(rules.classes)
    return f"CAST(CASE {cases} ELSE {last} END AS UTINYINT)" if cases else f"CAST({last} AS UTINYINT)"
