"""Declared percentiles reach the rooms that judge by them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.slo import Slo
from data.slo import slo_target

MAYBE = st.none() | st.floats(1.0, 99.9)


@given(st.floats(1.0, 99.9), MAYBE, MAYBE, MAYBE, st.booleans())
def test_a_limit_without_a_percentile_takes_the_common_one(
    common: float, ttft: float | None, tpot: float | None, e2e: float | None, ends: bool
) -> None:
    raw = {"ttft_s": 2.0, "tpot_s": 0.05, "percentile": common, "ttft_percentile": ttft, "tpot_percentile": tpot}
    raw |= {"e2e_s": 30.0, "e2e_percentile": e2e} if ends else {}
    found = slo_target(Slo.model_validate(raw)).limits
    assert [one.seconds for one in found] == [2.0, 0.05, 30.0 if ends else math.inf]
    assert found[0].percentile == (common if ttft is None else ttft)
    assert found[1].percentile == (common if tpot is None else tpot)
    assert found[2].percentile == (common if e2e is None or not ends else e2e)


def test_a_percentile_of_no_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="state it too"):
        Slo(ttft_s=1.0, tpot_s=0.1, e2e_percentile=90.0)
