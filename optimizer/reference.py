"""The formulation for readers, from the docstrings of the rules: `python -m optimizer.reference docs/fleet_plan.md`
rewrites what stands between the markers of that page."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

from optimizer import (
    blocks,
    capacity,
    churn,
    commitments,
    cost,
    facility,
    frame,
    inventory,
    lots,
    merge,
    parts,
    pools,
    prices,
    procurement,
    replay,
    reserves,
    routes,
    routing,
    rules,
    sample,
    stochastic,
    strategy,
)

BEGIN, END = "<!-- formulation: begin -->", "<!-- formulation: end -->"
PAGES: dict[str, tuple[ModuleType, ...]] = {
    "Indices": (frame,),
    "Rules": (routing, capacity, reserves, commitments, lots, inventory, facility, churn, cost),
    "Search": (merge, blocks, strategy, pools, parts, prices),
    "What is worked out from the answer": (routes, rules, stochastic, sample, procurement, replay),
}


def markdown(text: str) -> str:
    """A docstring with its displayed mathematics in dollar signs."""
    text = inspect.cleandoc(text)
    found: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        if not line.startswith(".. math::"):
            found.append(line)
            continue
        formula = [line.removeprefix(".. math::").strip()]
        for more in lines:
            if not more.strip():
                break
            formula.append(more.strip())
        found += ["$$", *formula, "$$", ""]
    return "\n".join(found).rstrip()


def _functions(module: ModuleType) -> list[str]:
    """Docstrings with mathematics of a module's functions, in their order in the file."""
    inside = [one for _, one in inspect.getmembers(module, inspect.isfunction) if one.__module__ == module.__name__]
    inside.sort(key=lambda one: one.__code__.co_firstlineno)
    return [markdown(one.__doc__) for one in inside if one.__doc__ and ".. math::" in one.__doc__]


def formulation() -> str:
    """The whole reference, as it stands between the markers."""
    found = []
    for title, modules in PAGES.items():
        found.append(f"### {title}")
        for module in modules:
            name = module.__name__.rpartition(".")[2]
            found.append(f"#### {name.replace('_', ' ').capitalize()} (`optimizer/{name}.py`)")
            found.append(markdown(module.__doc__ or ""))
            found += _functions(module)
    return "\n\n".join(found)


def rewritten(page: str) -> str:
    """A page with the reference between its markers."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{formulation()}\n{END}", page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
