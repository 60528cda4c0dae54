"""Merge two `pip freeze` outputs (Python 3.11, Python 3.12) into constraints.txt on standard output.

python3.11 -m pip freeze --exclude-editable > a; python3.12 -m pip freeze --exclude-editable > b
python .ci/merge_constraints.py a b > constraints.txt
"""

from __future__ import annotations

import sys
from pathlib import Path

BUILD_TOOLS = {"editables", "hatchling", "tomlkit", "trove-classifiers"}


def pins(path: str) -> dict[str, str]:
    """Package -> version of every exact pin in a freeze file."""
    rows = (line.split("==") for line in Path(path).read_text(encoding="utf-8").splitlines() if "==" in line)
    return {name: version for name, version in rows if name not in BUILD_TOOLS and not name.startswith("#")}


def main(older: str, newer: str) -> None:
    low, high = pins(older), pins(newer)
    print("# Tested versions, without any index address. Regenerate: see .ci/merge_constraints.py.")
    for name in sorted(low.keys() | high.keys(), key=str.lower):
        a, b = low.get(name), high.get(name)
        if a == b or b is None:
            print(f"{name}=={a}")
        elif a is None:
            print(f"{name}=={b}")
        else:
            print(f'{name}=={a}; python_version < "3.12"')
            print(f'{name}=={b}; python_version >= "3.12"')


if __name__ == "__main__":
    main(*sys.argv[1:3])
