"""YAML in, plain data out: duplicate keys and bad syntax are errors that name file and line."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from configs.errors import InputError


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice instead of keeping the last one silently."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Hashable, Any]:
    loader.flatten_mapping(node)
    seen: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a plain value", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


BOOL = "tag:yaml.org,2002:bool"
# As in YAML 1.2 only true and false are truth values: `on`, a key of `compute`, is a word.
_UniqueKeys.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != BOOL]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_UniqueKeys.add_implicit_resolver(BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def dump_yaml(document: object) -> str:
    """Plain data as YAML text, keys in their order."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return text


def load_yaml(path: Path) -> Any:
    """The document in `path`; InputError names the file, the line and what to change."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(str(path), "a YAML file", "no such file", "Check the path.") from None
    except IsADirectoryError:
        raise InputError(str(path), "a YAML file", "a folder", "Name the file inside it.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            str(path),
            "UTF-8 text",
            f"byte {error.object[error.start]:#04x} at offset {error.start}",
            "Save it as UTF-8.",
        ) from None
    try:
        # _UniqueKeys is a SafeLoader: it builds plain data only.
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise InputError(where, "valid YAML", error.problem or "a syntax error", "Correct the syntax.") from None
    except yaml.YAMLError as error:
        raise InputError(str(path), "valid YAML", str(error), "Correct the syntax.") from None
