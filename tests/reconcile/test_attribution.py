"""Shapley values against brute force over orders, their axioms, and waterfalls that add up exactly."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.attribution import CAUSES, cost_ratio, exact, shapley, waterfall

ratios = st.fixed_dictionaries({cause: st.floats(0.3, 3.0) for cause in CAUSES})


def by_orders(value, causes):  # type: ignore[no-untyped-def]
    """The definition: the marginal effect of a cause averaged over all orders."""
    found = dict.fromkeys(causes, 0.0)
    orders = list(permutations(causes))
    for order in orders:
        changed: frozenset[str] = frozenset()
        for cause in order:
            found[cause] += (value(changed | {cause}) - value(changed)) / len(orders)
            changed |= {cause}
    return found


@given(ratios)
def test_shapley_is_the_mean_over_all_orders(given_ratios: dict[str, float]) -> None:
    def value(changed: frozenset[str]) -> float:
        return 1e6 * cost_ratio({c: r if c in changed else 1.0 for c, r in given_ratios.items()})

    found, slow = shapley(value, CAUSES), by_orders(value, CAUSES)
    for cause in CAUSES:
        assert found[cause] == pytest.approx(slow[cause], rel=1e-9, abs=1e-6)


@given(ratios, st.floats(1, 1e8))
def test_a_waterfall_adds_up_exactly(given_ratios: dict[str, float], planned: float) -> None:
    found = waterfall("cost", "USD", lambda r: planned * cost_ratio(r), dict(given_ratios))
    cents = [round(Fraction(bar.amount) * 100) for bar in found.bars]
    assert all(float(Fraction(c, 100)) == bar.amount for c, bar in zip(cents, found.bars, strict=True))
    assert sum(cents) == round(Fraction(found.actual) * 100) - round(Fraction(found.planned) * 100)


def test_causes_that_did_not_change_or_were_not_measured_are_zero_and_marked() -> None:
    given_ratios = dict.fromkeys(CAUSES, None) | {"volume": 1.2, "price": 1.0}
    found = waterfall("cost", "USD", lambda r: 100.0 * cost_ratio(r), given_ratios)
    amounts = {bar.cause: (bar.amount, bar.measured) for bar in found.bars}
    assert amounts["volume"] == (20.0, True)
    assert amounts["price"] == (0.0, True)
    assert amounts["goodput"] == (0.0, False)


def test_alike_causes_share_alike() -> None:
    found = shapley(lambda changed: float(len(changed & {"a", "b"}) == 2), ("a", "b", "c"))
    assert found == {"a": 0.5, "b": 0.5, "c": 0.0}


@given(st.dictionaries(st.text(max_size=3), st.floats(-1e9, 1e9), min_size=1, max_size=8), st.integers(0, 4))
def test_rounding_moves_no_amount_far_and_keeps_the_sum(amounts: dict[str, float], digits: int) -> None:
    total = sum(amounts.values())
    found = exact(amounts, total, digits)
    unit = 10**digits
    assert sum(round(Fraction(v) * unit) for v in found.values()) == round(Fraction(total) * unit)
    for name, value in amounts.items():
        assert abs(found[name] - value) <= 1.01 / unit + 1e-6
