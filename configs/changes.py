"""Changes to a scenario from the command line: `path=value`, checked against the schema."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.errors import InputError
from configs.schema import Scenario
from configs.validation import validated

SHORT = {"classes": ("traffic", "classes")}
"""Paths that may begin below their section."""
CLASSES, GROWTH = SHORT["classes"], ("growth",)
"""What a class has beyond the scenario's own keys."""
OPEN = ("gpu_quota", "lead_time_months", "may_serve", "minimum_gpus")
"""Mappings whose keys are the user's own: a new one may be added."""
EXAMPLE = "Write e.g. --set classes.chat.growth=+40%, --set prices.h100.on_demand=-15%, --set plan.failures_per_pool=2."


@dataclass(frozen=True, slots=True)
class Setting:
    """One `path=value`; share is the relative change where the value is a signed percentage."""

    text: str
    path: tuple[str, ...]
    value: str
    share: float | None

    def applied(self, before: float) -> float:
        """The new value of a price. Raises InputError where the value is none."""
        if self.share is not None:
            return before * (1.0 + self.share)
        try:
            found = float(self.value)
        except ValueError:
            found = math.nan
        if not (math.isfinite(found) and found > 0.0) or self.value[0] == "+":
            wanted = "a number above 0, or a change such as +40%"
            raise InputError(f"--set {self.text}", wanted, repr(self.value), EXAMPLE)
        return found

    def factor(self) -> float:
        """What demand is multiplied by. A bare number is refused: 0.4 might be meant as 40 % more or 60 % less."""
        if self.share is None:
            raise InputError(f"--set {self.text}", "a signed percentage such as +40%", repr(self.value), EXAMPLE)
        return 1.0 + self.share


def read_setting(text: str) -> Setting:
    """`a.b.c=+40%` taken apart. Raises InputError where it is no setting."""
    path, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in path.split("."))
    if not equals or not value.strip() or not all(parts):
        raise InputError(f"--set {text}", "path=value", repr(text), EXAMPLE)
    value = value.strip()
    share = None
    if value.endswith("%") and value[0] in "+-":
        try:
            share = float(value[:-1]) / 100.0
        except ValueError:
            raise InputError(f"--set {text}", "a change such as +40%", repr(value), EXAMPLE) from None
        if not math.isfinite(share):
            raise InputError(f"--set {text}", "a change such as +40%", repr(value), EXAMPLE)
        if share <= -1.0:
            raise InputError(f"--set {text}", "a change that leaves more than nothing", repr(value), EXAMPLE)
    return Setting(text, parts, value, share)


def nearest(setting: Setting, wanted: str, known: Sequence[str], also: Sequence[str] = ()) -> str:
    """The one known name that is meant: equal, or the only one that begins so (case aside); also: names to suggest.

    Raises InputError where there is none, or more than one.
    """
    for found in (
        [name for name in known if name == wanted],
        [name for name in known if name.lower() == wanted.lower()],
        [name for name in known if name.lower().startswith(wanted.lower())],
    ):
        if len(found) == 1:
            return found[0]
    known = [*known, *also]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    hint = f"Did you mean `{near[0]}`?" if near else EXAMPLE
    raise InputError(f"--set {setting.text}", f"one of {', '.join(known) or 'nothing'}", repr(wanted), hint)


def changed(scenario: Scenario, settings: Sequence[Setting]) -> Scenario:
    """The scenario with every setting applied, checked as a scenario file is."""
    raw: dict[str, Any] = scenario.model_dump(mode="json")
    for one in settings:
        path = (*SHORT.get(one.path[0], one.path[:1]), *one.path[1:])
        node: Any = raw
        for depth, part in enumerate(path):
            if not isinstance(node, Mapping):
                raise InputError(
                    f"--set {one.text}", "a path to a single value", f"{'.'.join(path[:depth])} has no parts", EXAMPLE
                )
            is_open = depth > 0 and path[depth - 1] in OPEN and depth == len(path) - 1
            name = (
                part
                if is_open and part not in node
                else nearest(one, part, list(node), GROWTH if path[:depth][:2] == CLASSES and depth == 3 else ())
            )
            if depth == len(path) - 1:
                node[name] = _value(one, node.get(name))  # type: ignore[index]
            else:
                node = node[name]
    return validated(Scenario, raw, "--set " + " --set ".join(one.text for one in settings))


def _value(one: Setting, before: Any) -> Any:
    if one.share is not None:
        if isinstance(before, bool) or not isinstance(before, (int, float)):
            raise InputError(
                f"--set {one.text}", "a number to change by a share", repr(before), "Give a value instead."
            )
        after = one.applied(float(before))
        return round(after) if isinstance(before, int) else after
    if one.value[0] == "+":
        raise InputError(
            f"--set {one.text}", "a value, or a change such as +40%", repr(one.value), "Give the new value itself."
        )
    try:
        return json.loads(one.value)
    except json.JSONDecodeError:
        return one.value
