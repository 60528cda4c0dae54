"""The `fleetcast` command: one grammar, exit codes that scripts can rely on.

Exit codes: 0 done; 2 bad input (the message says what, where, expected, got and what to change); 3 no plan serves
every protected class, or the configuration asked about serves nothing (the message says which limit stops it); 130
interrupted.
"""

from __future__ import annotations

import signal
import sys

import typer
from rich.console import Console
from rich.markup import escape

from configs.errors import InputError
from flows.commands import capacity, cost, kernels, look, plan, record, scaling, traffic
from flows.commands.options import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from flows.environment import prepare
from flows.interrupt import install

app = typer.Typer(
    name="fleetcast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Capacity planning for LLM inference: from traffic history to a reserved, costed GPU fleet plan.",
    epilog="Exit codes: 0 done, 2 bad input, 3 protected demand cannot be served, 130 interrupted.",
)


@app.callback()
def fleetcast() -> None:
    """Capacity planning for LLM inference."""


for topic in (plan, look, traffic, capacity, kernels, record, cost, scaling):
    topic.register(app)


def main() -> None:
    """Entry point: environment first, then the command; expected errors end without a traceback."""
    prepare()
    interruption = install()
    try:
        app()
    except InputError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]Error[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(EXIT_BAD_INPUT)
    except BaseException:
        if not interruption.requested:
            raise
        # Whatever shape the interruption has taken on its way up, it is one.
        Console(stderr=True).print("Interrupted: no run folder is left half-written.")
        sys.exit(EXIT_INTERRUPTED)
    finally:
        # From here on there is nothing left to interrupt: a late Ctrl-C would only break the clean-up of libraries.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
