"""The reference pages, generated from the code: `python -m flows.reference` writes them into docs/.

commands.md from the command line, api.md and mathematics.md from docstrings, sources.md from the catalogs;
configuration.md is made by configs.reference.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from configs.reference import markdown as configuration
from data.catalog import load_coefficients, load_engines, load_gpus, load_llms
from data.prices import load_prices
from flows.cli import app

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("configs", "cost", "data", "forecast", "models", "optimizer", "reconcile", "reports", "flows")
MATHEMATICS = {
    "Memory and step time": (
        "models/shapes",
        "models/memory",
        "models/step_time",
        "models/step_cost",
        "models/goodput",
    ),
    "Simulation": ("models/simulator/*", "models/service", "models/curve", "models/replay", "models/fleet_replay"),
    "Autoscaling": ("models/autoscaler/*",),
    "Calibration": ("models/calibrate", "models/corrections", "models/loadtest_fit"),
    "Forecast": ("forecast/*",),
    "Fleet plan": ("optimizer/*",),
    "Cost and sensitivity": ("cost/*",),
    "Reconciliation": ("reconcile/*",),
}
"""Chapters of the mathematics, and the modules whose docstrings make them; those that are not there are left out."""


INTRODUCTIONS = {
    "commands": """# Commands

One grammar: `fleetcast COMMAND [ARGUMENTS] [OPTIONS]`, in a checkout `./run COMMAND ...`. `--json` prints JSON alone on
standard output; messages and progress go to standard error. Exit codes: 0 done, 2 bad input (the message says what to
change), 3 protected demand cannot be served or nothing serves, 130 interrupted. `fleetcast --install-completion`
completes commands and options in bash, zsh and fish.

This page is generated: `python -m flows.reference`.
""",
    "api": """# API reference

The rooms are the import packages; which may import which is in [architecture.md](architecture.md). Functions are plain,
records frozen; fields of records are explained where they stand.

This page is generated: `python -m flows.reference`.
""",
    "mathematics": """# Mathematics

Taken from the docstrings of the code that computes it, so that the two cannot differ; functions without more than one
line of explanation are left out.

This page is generated: `python -m flows.reference`.
""",
    "sources": """# Where every figure comes from

Every entry of the catalogs in `data/catalog/` names its source and the day it was true; what a plan used, with its age,
is in its report. Assumptions of the model are in [limits.md](limits.md).

This page is generated: `python -m flows.reference`.
""",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A public function or record: name, signature, docstring, and whether it is a record."""

    name: str
    signature: str
    text: str
    record: bool


def command_line() -> Any:
    """The click group behind the command line."""
    return typer.main.get_command(app)


def commands() -> str:
    """Every command with its arguments, options and example."""
    parts = [INTRODUCTIONS["commands"]]
    group = command_line()
    for name in sorted(group.commands):
        one = group.commands[name]
        arguments = [p for p in one.params if p.param_type_name == "argument"]
        options = [p for p in one.params if p.param_type_name == "option" and p.name != "help"]
        shape = " ".join(f"[{_shown(p)}]" if not p.required else _shown(p) for p in arguments)
        parts.append(f"## {name}\n\n{_plain(one.help)}\n\n    fleetcast {name} {shape}".rstrip() + "\n")
        if one.epilog:
            parts.append(f"{one.epilog}\n")
        rows = [(f"`{_shown(p)}`", _default(p), _plain(getattr(p, "help", "") or "")) for p in arguments] + [
            (", ".join(f"`{o}`" for o in p.opts), _default(p), _plain(p.help)) for p in options
        ]
        parts.append(_table(("option", "default", "meaning"), rows))
    return "\n".join(parts)


def _shown(parameter: Any) -> str:
    return str(parameter.name).upper()


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return shown
    value = parameter.default() if callable(parameter.default) else parameter.default
    return "" if value in (None, False, "", ()) else f"`{value}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def modules(pattern: str) -> list[Path]:
    """Files of a room by a pattern such as `models/simulator/*`, packages' own files left out."""
    found = sorted(ROOT.glob(f"{pattern}.py"))
    return [path for path in found if path.name != "__init__.py"]


def items(path: Path) -> tuple[str, list[Item]]:
    """The docstring of a module, and its public functions and classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            record = isinstance(node, ast.ClassDef)
            found.append(Item(node.name, node.name if record else _signature(node), text, record))
    return ast.get_docstring(tree) or "", found


def _signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    assert isinstance(node, ast.FunctionDef)
    given = node.args
    names = [one.arg for one in (*given.posonlyargs, *given.args)]
    names += [f"*{given.vararg.arg}"] if given.vararg else []
    names += [one.arg for one in given.kwonlyargs]
    returned = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{node.name}({', '.join(names)}){returned}"


def api() -> str:
    """Every public function and record, by module, with the first paragraph of its docstring."""
    parts = [INTRODUCTIONS["api"]]
    for room in ROOMS:
        parts.append(f"## {room}\n")
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if path.name == "__init__.py" or ".migrations." in name:
                continue
            told, found = items(path)
            parts.append(f"### {name}\n\n{_first(told)}\n")
            if found:
                lines = [f"- `{one.signature}`" + (f": {_first(one.text)}" if one.text else "") for one in found]
                parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _first(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def mathematics() -> str:
    """What is computed, in the words and formulas of the code that computes it."""
    parts = [INTRODUCTIONS["mathematics"]]
    for chapter, patterns in MATHEMATICS.items():
        parts.append(f"## {chapter}\n")
        for path in (path for pattern in patterns for path in modules(pattern)):
            told, found = items(path)
            name = path.relative_to(ROOT).as_posix()
            parts.append(f"### {_first(told).rstrip('.')}\n\n`{name}`\n")
            rest = told.split("\n\n", 1)
            if len(rest) == 2:
                parts.append(_formulas(rest[1]) + "\n")
            explained = [one for one in found if "\n" in one.text or ".. math" in one.text]
            parts += [f"**{one.name}.** {_formulas(one.text)}\n" for one in explained]
    return "\n".join(parts)


def _formulas(text: str) -> str:
    """Docstring mathematics as Markdown's: `.. math::` becomes a displayed formula, indented lines a code block."""
    text = re.sub(r"\.\. math::\s*(.+(?:\n[ \t]+\S.*)*)", lambda m: f"$${' '.join(m[1].split())}$$", text)
    return re.sub(r":math:`([^`]+)`", r"$\1$", text)


def sources() -> str:
    """Where every figure of the catalogs comes from, and when it was true."""
    gpus, llms, engines, prices = load_gpus(), load_llms(), load_engines(), load_prices()
    coefficients = load_coefficients()
    gpu_rows = [
        (
            name, f"{one.memory_bytes / 1e9:.0f} GB, {one.memory_bandwidth_bytes_per_s / 1e9:,.0f} GB/s",
            one.source.citation, one.source.as_of,
        )
        for name, one in sorted(gpus.items())
    ]  # fmt: skip
    llm_rows = [(name, one.source.citation, one.source.as_of) for name, one in sorted(llms.items())]
    engine_rows = [(name, one.version, one.source.citation, one.source.as_of) for name, one in sorted(engines.items())]
    counts = {key: sum(row.source == key for row in prices.rows) for key in prices.sources}
    price_rows = [
        (key, f"{counts[key]}", one.quality.replace("_", "-"), one.citation, one.as_of, one.note)
        for key, one in prices.sources.items()
    ]
    fits = sorted({row.gpu for row in coefficients.gemm})
    return "\n".join(
        [
            INTRODUCTIONS["sources"],
            "## GPUs\n",
            _table(("GPU", "memory", "source", "as of"), gpu_rows),
            "## LLMs\n",
            _table(("LLM", "source", "as of"), llm_rows),
            "## Engines\n",
            _table(("engine", "version", "source", "as of"), engine_rows),
            "## Step-time coefficients\n",
            f"{coefficients.source.citation} ({coefficients.source.as_of}), for {', '.join(fits)}; other GPUs borrow "
            "those of the one their catalog entry names, or are a roofline guess and marked so.\n",
            "## Prices\n",
            _table(("source", "rows", "kind", "citation", "as of", "note"), price_rows),
        ]
    )


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "api.md": api,
    "mathematics.md": mathematics,
    "sources.md": sources,
    "configuration.md": configuration,
}


def records() -> Iterator[tuple[str, str]]:
    """Module and name of every public record (frozen dataclass, named tuple or section) of the product."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for one in items(path)[1]:
                if one.record:
                    yield ".".join(path.relative_to(ROOT).with_suffix("").parts), one.name


def write(folder: Path) -> None:
    """All pages, into a folder."""
    for name, page in PAGES.items():
        (folder / name).write_text(page().rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
