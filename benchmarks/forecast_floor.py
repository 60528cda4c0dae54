"""How low the pinball loss at 0.95 can get on the generated services, over the seasonal naive's.

    python -m benchmarks.forecast_floor [--seeds 700:704] [--origins 3]

A forecast that is told the expected value of every coming hour (levels of all coming weeks included) and the whole
series' own distribution around it is scored against the seasonal naive with its textbook intervals, on the origins of
`benchmarks.forecast`. No forecast from history alone can be expected to do better; bars below this floor cannot be met.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from benchmarks.forecast import cuts_of, naive
from benchmarks.forecast_scores import band
from benchmarks.forecast_series import SERVICES, clock, service_parts, source
from forecast.accuracy import pinball, wape

TRAIN, AHEAD = 12, 4


def floor(kind: str, seed: int, origins: int) -> tuple[float, float]:
    """WAPE and pinball loss of the forecast that knows, over the seasonal naive's: means over origins."""
    rng = source(kind, seed)
    c = clock(rng)
    expected, log = service_parts(kind, rng, c)
    series = pd.Series(expected * np.exp(log), index=c.index)
    middle, upper = (expected * np.exp(np.quantile(log, q)) for q in (0.5, 0.95))
    own, other = [], []
    for cut in cuts_of(series, TRAIN, AHEAD * 168, origins):
        ahead = slice(cut, cut + AHEAD * 168)
        actual = series.to_numpy()[ahead]
        found = naive(series.iloc[cut - TRAIN * 168 : cut], pd.DatetimeIndex(series.index[ahead]))
        own.append((wape(actual, middle[ahead]), pinball(actual, upper[ahead], 0.95)))
        other.append((wape(actual, found["point"]), pinball(actual, band("bands", found, 0.9)[1], 0.95)))
    error, loss = np.mean(own, axis=0) / np.mean(other, axis=0)
    return float(error), float(loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="700:704", help="FROM:TO, the last not included")
    parser.add_argument("--origins", type=int, default=3)
    args = parser.parse_args()
    first, last = (int(part) for part in args.seeds.split(":"))
    every = []
    for kind in SERVICES:
        found = [floor(kind, seed, args.origins) for seed in range(first, last)]
        every += found
        error, loss = np.mean(found, axis=0)
        print(f"{kind}: WAPE x {error:.2f}, pinball95 x {loss:.2f} of the seasonal naive at best")
    error, loss = np.mean(every, axis=0)
    print(f"all: WAPE x {error:.2f}, pinball95 x {loss:.2f}")


if __name__ == "__main__":
    main()
