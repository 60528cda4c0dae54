"""The decoder's part of a Hugging Face `config.json`, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from configs.errors import InputError

Raw = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Fields:
    """The decoder's part of a config, read with errors that name the field."""

    raw: Raw
    path: Path

    def number(self, *keys: str, default: int | None = None) -> int:
        for key in keys:
            value = self.raw.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
                raise InputError(f"{self.path}, {key}", "a whole number, 0 or more", repr(value), "Correct the field.")
            return int(value)
        if default is None:
            fix = "Is this the config.json of a decoder-only LLM?"
            raise InputError(f"{self.path}, {keys[0]}", "a whole number", "nothing", fix)
        return default

    def text(self, key: str) -> str:
        return str(self.raw.get(key) or "")

    def listed(self, key: str) -> list[object]:
        value = self.raw.get(key)
        return list(value) if isinstance(value, list | tuple) else []
