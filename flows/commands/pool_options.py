"""Options of `fleetcast curve` that ask for a pool and for what may happen in it."""

from __future__ import annotations

from typing import Annotated

import typer

from configs.errors import InputError
from data.pool_curve_records import PoolRules

PANEL = "A pool, and what may happen in it"
PLAIN = PoolRules()

ReplicasOption = Annotated[int, typer.Option(min=1, max=256, help="Replicas behind one router.", rich_help_panel=PANEL)]
RoutingOption = Annotated[
    str | None,
    typer.Option(
        help="random, round-robin or shortest-queue (fewest requests).",
        show_default="shortest-queue",
        rich_help_panel=PANEL,
    ),
]
QueueOption = Annotated[
    int | None,
    typer.Option(min=1, help="Requests that wait at a replica at most; more are rejected.", rich_help_panel=PANEL),
]
SeqsOption = Annotated[
    int | None,
    typer.Option(
        "--max-num-seqs", min=1, help="Sequences that a replica runs at once.", show_default="the engine's",
        rich_help_panel=PANEL,
    ),
]  # fmt: skip
PatienceOption = Annotated[
    float | None,
    typer.Option(min=1e-3, help="Seconds until a client without a first token leaves.", rich_help_panel=PANEL),
]
DeadlineOption = Annotated[
    float | None,
    typer.Option(min=1e-3, help="Seconds until a client without the whole answer leaves.", rich_help_panel=PANEL),
]
RetriesOption = Annotated[
    int,
    typer.Option(min=0, max=10, help="Times that who failed comes again.", rich_help_panel=PANEL),
]
BackoffOption = Annotated[
    float | None,
    typer.Option(
        min=1e-3, help="Seconds until the first retry; each next waits twice as long.", show_default="1",
        rich_help_panel=PANEL,
    ),
]  # fmt: skip
PriorityOption = Annotated[
    list[str] | None,
    typer.Option(help="A class that goes before the others; repeatable.", rich_help_panel=PANEL),
]
LoseOption = Annotated[int, typer.Option(min=0, help="Replicas that go away.", rich_help_panel=PANEL)]
LoseAtOption = Annotated[
    float | None,
    typer.Option(min=1e-3, help="Seconds after the start.", show_default="30", rich_help_panel=PANEL),
]
BackAfterOption = Annotated[
    float | None, typer.Option(min=1e-3, help="Seconds that they are away; else for good.", rich_help_panel=PANEL)
]
DrainOption = Annotated[
    bool, typer.Option("--drain", help="They finish what they hold instead of losing it.", rich_help_panel=PANEL)
]


def rules_of(
    replicas: int, routing: str | None, seqs: int | None, queue: int | None, patience_s: float | None,
    deadline_s: float | None, retries: int, backoff_s: float | None, priority: list[str] | None, lose: int,
    lose_at_s: float | None, back_after_s: float | None, drain: bool,
) -> PoolRules | None:  # fmt: skip
    """What is asked for; None where nothing is. Raises InputError for an option that says nothing without another."""
    if routing is not None and replicas == 1:
        raise InputError("--routing", "replicas to choose from", "a single one", "Add --replicas.")
    if backoff_s is not None and not retries:
        raise InputError("--backoff", "retries", "none", "Add --retries.")
    if lose_at_s is not None and not lose:
        raise InputError("--lose-at", "replicas that go away", "none", "Say how many with --lose.")
    found = PoolRules(
        replicas,
        PLAIN.routing if routing is None else routing.replace("-", "_"),
        seqs,
        queue,
        patience_s,
        deadline_s,
        retries,
        PLAIN.backoff_s if backoff_s is None else backoff_s,
        tuple(priority or ()),
        lose,
        PLAIN.lost_at_s if lose_at_s is None else lose_at_s,
        back_after_s,
        drain,
    )
    return None if found == PLAIN else found
