"""YAML from plain data: the order given, every text in double quotes, so that nothing in it can be anything else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

Value = Mapping[str, "Value"] | Sequence["Value"] | str | int | float | bool | None
PLAIN_KEY = re.compile(r"[a-zA-Z][a-zA-Z0-9]{2,}")
WORDS = frozenset({"true", "false", "null", "yes", "off"})


def document(value: Value) -> str:
    """One document, newline at its end. Raises ValueError for numbers that are not finite."""
    return "\n".join(_lines(value, 0)) + "\n"


def documents(values: Sequence[Value]) -> str:
    """Several documents in one stream."""
    return "---\n".join(document(value) for value in values)


def quoted(text: str) -> str:
    """A double-quoted YAML scalar on one line; whatever is not printable ASCII is escaped."""
    out = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif 0x20 <= code < 0x7F:
            out.append(char)
        elif code <= 0xFF:
            out.append(f"\\x{code:02x}")
        elif 0xD800 <= code <= 0xDFFF:
            # Half a character is no character.
            out.append("\\ufffd")
        elif code <= 0xFFFF:
            out.append(f"\\u{code:04x}")
        else:
            out.append(f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def _key(text: str) -> str:
    return text if PLAIN_KEY.fullmatch(text) and text.lower() not in WORDS else quoted(text)


def _scalar(value: Value) -> str | None:
    """A value on one line; None for what takes several."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a finite number, got {value}")
        return repr(value)
    if isinstance(value, Mapping):
        return None if value else "{}"
    return None if value else "[]"


def _lines(value: Value, depth: int) -> list[str]:
    pad = "  " * depth
    plain = _scalar(value)
    if plain is not None:
        return [pad + plain]
    if isinstance(value, Mapping):
        found = []
        for key, one in value.items():
            inline = _scalar(one)
            if inline is not None:
                found.append(f"{pad}{_key(key)}: {inline}")
            else:
                # Lists stand at their key's depth, as is usual in manifests.
                found += [f"{pad}{_key(key)}:", *_lines(one, depth + (1 if isinstance(one, Mapping) else 0))]
        return found
    assert isinstance(value, Sequence)
    assert not isinstance(value, str)
    found = []
    for one in value:
        inner = _lines(one, depth + 1)
        found += [f"{pad}- {inner[0].lstrip()}", *inner[1:]]
    return found
