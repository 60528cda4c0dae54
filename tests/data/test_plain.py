"""Records from plain data: fields that a file is too old to have take their default, others are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from configs.errors import InputError
from data.plain import record


@dataclass(frozen=True)
class _Kept:
    rate: float
    ranks: int = 1


def test_a_field_with_a_default_may_be_missing_and_another_may_not() -> None:
    assert record(_Kept, {"rate": 2.0}, "file", "Write it again.") == _Kept(2.0)
    assert record(_Kept, {"rate": 2.0, "ranks": 8}, "file", "Write it again.") == _Kept(2.0, 8)
    with pytest.raises(InputError, match=r"file\.rate"):
        record(_Kept, {"ranks": 8}, "file", "Write it again.")
