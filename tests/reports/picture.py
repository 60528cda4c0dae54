"""Pictures of a report: `python -m tests.reports.picture report.html docs/report.png` (1280 px, the first screens).


With `--all FOLDER` at 1280 and 390 px and in the dark, whole pages, to look at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.reports.browser import browser

SCREEN = (1280, 1500)


def take(report: Path, to: Path, width: int = SCREEN[0], dark: bool = False, whole: bool = False) -> None:
    """One PNG of a report."""
    with browser() as page:
        page.open(report, width, SCREEN[1], dark)
        page.picture(to, whole)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("to", type=Path, nargs="?", default=Path("docs/report.png"))
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    if given.all is None:
        take(given.report, given.to)
        return
    given.all.mkdir(parents=True, exist_ok=True)
    for width in (1280, 390):
        for dark in (False, True):
            take(given.report, given.all / f"{width}{'-dark' if dark else ''}.png", width, dark, whole=True)


if __name__ == "__main__":
    main()
