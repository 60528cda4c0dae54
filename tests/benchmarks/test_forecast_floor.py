"""The floor of the pinball loss against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.forecast_floor import floor


def test_the_floor_under_gaussian_noise_is_that_of_the_closed_form() -> None:
    """Noise of standard deviation 1 about a known mean: the best 95 % quantile loses phi(z); the seasonal naive errs by
    sqrt(2) and puts its quantile z sqrt(k) of its deviations out in the k-th week ahead (FPP3, 5.5)."""
    z = stats.norm.ppf(0.95)
    out = z * np.sqrt(np.arange(1, 5))
    lost = 0.05 * out + stats.norm.pdf(out) - out * stats.norm.sf(out)
    expected = stats.norm.pdf(z) / (np.sqrt(2.0) * lost.mean())
    assert expected == pytest.approx(0.55, abs=0.005)
    errors, losses = np.mean([floor("ar", seed, 3) for seed in range(6)], axis=0)
    assert losses == pytest.approx(expected, rel=0.05)
    assert errors == pytest.approx(1.0 / np.sqrt(2.0), rel=0.05)
