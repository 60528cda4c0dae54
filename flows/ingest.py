"""`fleetcast ingest`: what was found in each file, and what became of every row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from configs.errors import InputError
from configs.mapping import LogMapping, load_mapping
from configs.validation import validated
from data.ingestion import Ingested, ingest_files
from data.plain import finite


def run(
    files: Sequence[str], out: Path, mapping: Path | None, start: str | None, time_zone: str | None,
    labels: Sequence[str] = (),
) -> tuple[Ingested, ...]:  # fmt: skip
    """Ingests files; `start`, `time_zone` and `labels` (name=value) add to the mapping file or stand alone."""
    chosen = None if mapping is None else load_mapping(mapping)
    constants = dict(chosen.constants) if chosen else {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals:
            raise InputError(f"--label {label!r}", "NAME=VALUE, for instance service=chat", "no `=`", "Add the value.")
        constants |= {name: value}  # type: ignore[dict-item]
    given: dict[str, Any] = {"start": start, "time_zone": time_zone, "constants": constants or None}
    given = {key: value for key, value in given.items() if value is not None}
    if given:
        checked = validated(LogMapping, given, "command line")
        chosen = (chosen or LogMapping()).model_copy(update={key: getattr(checked, key) for key in given})
    return ingest_files(files, out, chosen)


def _default(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def as_json(answers: Sequence[Ingested]) -> str:
    """Every answer with every count."""
    return json.dumps(finite([asdict(one) for one in answers]), indent=2, default=_default, allow_nan=False) + "\n"


def show(console: Console, answers: Sequence[Ingested]) -> None:
    """A paragraph a file: format, rows, repairs, rejects with reasons and where they lie; of several, their sum."""
    for one in answers:
        console.print(f"[bold]{escape(one.file)}[/]", soft_wrap=True)
        source = one.source
        if source is None:
            console.print(f"  [bold red]not read[/] {escape(one.error or '')}", soft_wrap=True)
            continue
        span = f", {source.first} to {source.last}" if source.first else ""
        console.print(f"  {source.format.replace('_', ' ')} ({source.kind}){span}")
        if one.unchanged:
            console.print("  already in the dataset: nothing changed")
            continue
        console.print(
            f"  {source.rows_in:,} rows in = {source.kept:,} kept + {source.repaired:,} repaired + {source.rejected:,} "
            f"rejected; {source.new:,} new, {source.already_present:,} already there"
            + (f", {source.conflicting:,} contradict an earlier export" if source.conflicting else "")
        )
        for text, count in source.repairs.items():
            console.print(f"  [yellow]repaired[/] {count:,}: {escape(text)}")
        for text, count in source.reasons.items():
            console.print(f"  [yellow]rejected[/] {count:,}: {escape(text)}")
        if one.rejects is not None:
            console.print(f"  rejected rows: {escape(str(one.rejects))}", soft_wrap=True)
        if source.rejected == source.rows_in:
            console.print("  [bold red]no row is kept[/]: see what the rejects say, and the mapping in docs/ingest.md")
        for note in source.notes:
            console.print(f"  note: {escape(note)}", soft_wrap=True)
    if len(answers) > 1:
        unread = [one.file for one in answers if one.source is None]
        fresh = [one.source for one in answers if one.source is not None and not one.unchanged]
        console.print(
            f"[bold]{len(answers)} files[/]: {len(answers) - len(unread)} read, "
            f"{sum(one.rows_in for one in fresh):,} rows in, {sum(one.rejected for one in fresh):,} rejected, "
            f"{sum(one.new for one in fresh):,} new"
        )
        if unread:
            console.print(f"[bold red]{len(unread)} not read[/]: {escape(', '.join(unread))}", soft_wrap=True)
