"""The configuration reference, generated from the schema.

python -m configs.reference > docs/configuration.md
"""

from __future__ import annotations

import json
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from configs.schema import Scenario

INTRODUCTION = """# Configuration

A scenario is one YAML file. Unknown keys are errors. `./run plan --config FILE` plans it; the scenarios shipped with
the package are in `configs/scenarios/` and are named without path or suffix. Relative paths start at the scenario
file's folder. This page is generated: `python -m configs.reference > docs/configuration.md`.
"""


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Sections mentioned anywhere in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _type_text(annotation: Any) -> str:
    """A type as a reader of YAML would say it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(args[0])
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in args)
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if part is type(None) else _type_text(part) for part in args)
    if origin is tuple:
        return f"list of {_type_text(args[0])}"
    if origin is dict:
        return f"mapping {_type_text(args[0])} → {_type_text(args[1])}"
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(field: FieldInfo) -> str:
    """Bounds that the schema checks, such as "> 0, ≤ 1"."""
    signs = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
    found = [
        f"{sign} {getattr(meta, name):g}" for meta in field.metadata for name, sign in signs if hasattr(meta, name)
    ]
    return ", ".join(found)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "its own defaults" if isinstance(value, BaseModel) else "empty"
    if value is None:
        return "nothing"
    return f"`{json.dumps(value)}`"


def section(model: type[BaseModel]) -> str:
    """One section as a heading, its docstring and a table of keys."""
    rows = ["| key | type | limits | default | meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {_type_text(field.annotation)} | {_limits(field)} | {_default(field)} | {meaning} |")
    doc = " ".join((model.__doc__ or "").split())
    return f"## {model.__name__}\n\n{doc}\n\n" + "\n".join(rows) + "\n"


def markdown() -> str:
    """The whole page: the scenario first, then every section it mentions, in order of first mention."""
    order: list[type[BaseModel]] = [Scenario]
    for model in order:
        for field in model.model_fields.values():
            order.extend(found for found in _models(field.annotation) if found not in order)
    return INTRODUCTION + "\n" + "\n".join(section(model) for model in order)


if __name__ == "__main__":
    print(markdown(), end="")
