"""Plain data in, a frozen section out; a failed check becomes an InputError with file, key, expected and got."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from configs.errors import InputError

M = TypeVar("M", bound=BaseModel)


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Field names at the place where an unknown key stood, following nested models where that is possible."""
    here: Any = model
    for part in location[:-1]:
        if not (isinstance(here, type) and issubclass(here, BaseModel)) or part not in here.model_fields:
            return []
        here = here.model_fields[str(part)].annotation
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def validated(model: type[M], raw: object, where: str) -> M:
    """`raw` as `model`.

    Raises InputError listing every problem: the key's path, what was expected and what came; for an unknown key
    the closest known one.
    """
    if not isinstance(raw, Mapping):
        raise InputError(where, "a mapping of keys", type(raw).__name__, "Write `key: value` lines.")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = []
        for one in error.errors(include_url=False):
            path = ".".join(str(part) for part in one["loc"]) or "(top level)"
            if one["type"] == "extra_forbidden":
                key = str(one["loc"][-1])
                near = difflib.get_close_matches(key, _known_keys(model, one["loc"]), n=1)
                hint = f"; did you mean `{near[0]}`?" if near else ""
                lines.append(f"`{path}` is not a known key{hint}")
            elif one["type"] == "missing":
                lines.append(f"`{path}` is missing")
            else:
                got = "" if isinstance(one["input"], Mapping) else f", got {_show(one['input'])}"
                lines.append(f"`{path}`: {one['msg'].removeprefix('Value error, ')}{got}")
        count = f"{len(lines)} problem" + ("s" if len(lines) > 1 else "")
        raise InputError(
            where, "a valid configuration", count + ":\n  - " + "\n  - ".join(lines) + "\n", "Correct these keys."
        ) from None
