"""Why a month is what it is, in whole sentences also where there is little to say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.forecasting import DeclaredLevel, ForecastPolicy
from forecast.explain import in_words
from forecast.portfolio import forecast
from tests.forecast.test_portfolio import history, seasonal

POLICY = ForecastPolicy(horizon_months=1, paths=100, backtest_windows=2)


def test_what_a_method_adds_is_said_where_it_is_known() -> None:
    one = forecast(history(a=seasonal(8)), POLICY, 1).series[0]
    assert any("over the seasonal naive and" in text for text in in_words(one))
    unknown = replace(one, accuracy=tuple(replace(score, value_added=None) for score in one.accuracy))
    (text,) = (text for text in in_words(unknown) if "on history" in text)
    assert "adds" not in text
    assert text.endswith(")")


@pytest.mark.parametrize("nothing", [np.nan, 0.0])
def test_without_history_it_is_the_declared_level_or_nothing_and_never_both(nothing: float) -> None:
    values = np.full(8 * 168, nothing)
    said = DeclaredLevel(llm="m", request_class="new", requests_per_hour=500.0)
    for levels in ((), (said,)):
        policy = POLICY.model_copy(update={"levels": levels})
        one = forecast(history(a=seasonal(8), new=values), policy, 1).series[1]
        text = " ".join(in_words(one))
        assert ("nothing is forecast" in text) is (levels == ())
        assert ("level declared" in text) is (levels != ())
        assert ("at the declared level" in text) is (levels != ())
        assert "hours are unobserved" not in text, "there are none to tell them from"
        assert "on history it erred" not in text, "there was nothing to err on"
