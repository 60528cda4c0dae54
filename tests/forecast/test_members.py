"""The methods one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from forecast import members

INDEX = pd.date_range("2026-08-03", periods=9 * 168, freq="h", tz="UTC")
FUTURE = pd.date_range(INDEX[-1] + pd.Timedelta(hours=1), periods=48, freq="h")


def test_warnings_that_are_not_by_design_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    original = members.AutoReg

    def noisy(*given: object, **named: object) -> object:
        warnings.warn("the exponent overflowed", RuntimeWarning, stacklevel=2)
        return original(*given, **named)

    history = pd.Series(np.random.default_rng(0).poisson(50.0, len(INDEX)).astype(float), index=INDEX)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        members.autoregression(history, FUTURE)  # the warning that is by design is silent
    monkeypatch.setattr(members, "AutoReg", noisy)
    with pytest.warns(RuntimeWarning, match="overflowed"):
        members.autoregression(history, FUTURE)
