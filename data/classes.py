"""Class rules as SQL, over requests and over metric rows."""

from __future__ import annotations

from collections.abc import Sequence

from configs.classes import ClassRules
from configs.matching import LABEL_FIELDS, TOKEN_FIELDS, Match
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


def class_sql(rules: ClassRules, tokens: bool = True) -> str:
    """The number of a row's class (index into `class_names`) as a small integer: cheap to group by."""
    cases = " ".join(f"WHEN {match_sql(rule.match, tokens)} THEN {i}" for i, rule in enumerate(rules.classes))
    last = len(rules.classes)
    return f"CAST(CASE {cases} ELSE {last} END AS UTINYINT)" if cases else f"CAST({last} AS UTINYINT)"
