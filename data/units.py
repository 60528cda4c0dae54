"""Unit constants. Decimal units for rates and vendor sizes, binary ones where an engine allocates so."""

from __future__ import annotations

from typing import Final

KB: Final = 10**3
MB: Final = 10**6
GB: Final = 10**9
TB: Final = 10**12
KIB: Final = 2**10
MIB: Final = 2**20
GIB: Final = 2**30
TFLOPS: Final = 10**12

SECONDS_PER_HOUR: Final = 3600
HOURS_PER_DAY: Final = 24
HOURS_PER_WEEK: Final = 168
HOURS_PER_MONTH: Final = 730.0
"""The billing month of cloud price lists: 8,760 h / 12."""
