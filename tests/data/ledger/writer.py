"""A process that records runs and prints each id once its commit has returned: `python -m ... URL FIRST COUNT`."""

from __future__ import annotations

import resource
import sys

from configs.errors import InputError
from data.ledger.connect import connect
from data.ledger.store import record
from tests.data.ledger.samples import sample_run


def main() -> None:
    url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if len(sys.argv) > 4:
        import signal

        # A file may not grow beyond this: what SQLite sees is a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
    print("ready", flush=True)
    try:
        ledger = connect(url)
        for number in range(first, first + count):
            record(ledger, sample_run(number))
            print(number, flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
