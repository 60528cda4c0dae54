"""Class rules: which requests form a class, what they were promised, and how the classes rank.

A request belongs to the class whose rule it matches. No two rules may match the same request, so that their order says
nothing and none hides another. What no rule matches goes to a class of its own.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from configs.base import Name, Section
from configs.matching import Match, common
from configs.slo import Slo, SuccessCriterion
from configs.validation import validated
from configs.yaml_files import load_yaml


class ClassRule(Section):
    """One class: which requests, what they were promised, when a request counts as served, and its rank."""

    name: Name = Field(description="of the class")
    match: Match = Field(default=Match(), description="which requests it takes")
    slo: Slo | None = Field(default=None, description="TTFT, TPOT and end-to-end limits at a percentile")
    success: SuccessCriterion | None = Field(
        default=None,
        description="when a request succeeds: it ended without error; gave a token; or kept the SLO's limits. Default: "
        "answered in a description, within_slo in the costs of a plan",
    )
    priority: Annotated[int, Field(ge=0, le=1000)] = Field(default=0, description="higher is served first")


class ClassRules(Section):
    """All classes of a dataset, and the name of the class of what no rule matches."""

    classes: tuple[ClassRule, ...] = Field(default=(), description="tried in their order")
    unmatched: Name = Field(default="unmatched", description="the class of requests that no rule matches")

    @model_validator(mode="after")
    def _disjoint(self) -> ClassRules:
        names = [rule.name for rule in self.classes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"class {name!r} is given twice; merge its conditions or rename one")
            if name == self.unmatched:
                raise ValueError(f"class {name!r} has the name of the unmatched class; rename one")
        for a, b in combinations(self.classes, 2):
            witness = common(a.match, b.match)
            if witness is not None:
                raise ValueError(
                    f"classes {a.name!r} and {b.name!r} overlap: a request with {witness} matches both; narrow one"
                )
        return self


def load_classes(path: Path) -> ClassRules:
    """The rules in a YAML file; InputError names file, key and problem."""
    return validated(ClassRules, load_yaml(path), str(path))
