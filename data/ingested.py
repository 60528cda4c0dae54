"""Ingested datasets as traffic histories: hourly requests and joint lengths of what a rule matches."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from configs.classes import ClassRule, ClassRules
from configs.errors import InputError
from configs.matching import Match, narrowed
from configs.traffic import Ingested, IngestedLengths
from data.classes import class_names, class_sql
from data.dataset import opened
from data.history import DataNote
from data.hourly import complete_hours
from data.lengths import of_rows
from data.records import LengthSample
from data.statistics.counts import class_counts, hourly_series
from data.statistics.histogram_lengths import from_histograms
from data.statistics.lengths import lengths

_REST = "rest"


def selection(rules: ClassRules | None, name: str, match: Match | None) -> tuple[ClassRules, str]:
    """Rules under which one class is what a series plans, and that class: the rule of the series' class, narrowed by
    `match`; without a rule, `match` alone."""
    known = {one.name: one for one in rules.classes} if rules is not None else {}
    if rules is not None and match is None:
        return rules, name
    if name in known:
        rule = known[name].model_copy(update={"match": narrowed(known[name].match, match or Match())})
    else:
        rule = ClassRule(name=name, match=match or Match())
    return ClassRules(classes=(rule,), unmatched=_REST if name != _REST else "other"), name


def _nothing(folder: Path) -> InputError:
    return InputError(
        str(folder),
        "requests that match the rule",
        "none",
        "See what is there: `fleetcast describe DIR`; widen `match`.",
    )


def ingested_hours(
    source: Ingested, base: Path, rules: ClassRules | None, name: str
) -> tuple[pd.Series, list[DataNote], dict[str, str]]:
    """Requests by hour of class `name`, notes, and the dataset's hash. Raises InputError where nothing matches or less
    than a day is whole."""
    chosen, name = selection(rules, name, source.match)
    folder = base / source.dataset
    with opened(folder) as (dataset, connection):
        counted, said = class_counts(connection, chosen)
        mine = next((one for one in counted if one.name == name), None)
        if mine is None:
            raise _nothing(folder)
        hours, gaps = complete_hours(hourly_series(mine), str(folder))
        notes = [DataNote("warning", folder.name, text) for text in said]
        bad = sum(one.rejected for one in dataset.sources)
        if bad:
            total = sum(one.rows_in for one in dataset.sources)
            text = f"{bad:,} of {total:,} rows were rejected when the files were ingested; reasons are in the dataset"
            notes.append(DataNote("warning", folder.name, text))
        return hours, [*notes, *gaps], {f"dataset/{folder.name}": dataset.sha256()}


def ingested_lengths(
    spec: IngestedLengths, base: Path, rules: ClassRules | None, name: str, cached_share: float, seed: int
) -> tuple[LengthSample, list[DataNote], dict[str, str]]:
    """Joint lengths of class `name`. A declared cached share (above 0) replaces what the dataset says."""
    chosen, name = selection(rules, name, spec.match)
    folder = base / spec.dataset
    with opened(folder) as (dataset, connection):
        hashes = {f"dataset/{folder.name}": dataset.sha256()}
        found = lengths(connection, chosen, seed, folder.name).get(name)
        if found is not None:
            sample, share, joint = found.sample, found.cached_share, True
        else:
            where = f"{class_sql(chosen, tokens=False)} = {class_names(chosen).index(name)}"
            metered = from_histograms(connection, where, seed, f"{folder.name}, engine histograms")
            if metered is None:
                raise InputError(
                    str(folder),
                    "token lengths of requests that match the rule",
                    "none",
                    "See what is there: `fleetcast describe DIR`; widen `match`, or declare `lengths` of another kind.",
                )
            sample, joint = metered, False
            share = float(metered.cached_tokens.sum() / metered.input_tokens.sum())
    notes = []
    if not joint:
        text = (
            "lengths come from engine histograms: input and output are joined at random, tails end at the last bucket"
        )
        notes.append(DataNote("assumption", folder.name, text))
    if cached_share > 0.0:
        cached = np.floor(sample.input_tokens * cached_share)
        inputs, outputs = sample.input_tokens.astype(np.float64), sample.output_tokens.astype(np.float64)
        return of_rows(inputs, outputs, cached, sample.weight, sample.source), notes, hashes
    if share:
        notes.append(
            DataNote("assumption", folder.name, f"{share:.1%} of input tokens count as cached, as the data say")
        )
    return sample, notes, hashes


def unplanned(folder: Path, rules: ClassRules, planned: Collection[str]) -> list[DataNote]:
    """A warning for every class of a dataset that no series plans, with its share of the requests."""
    with opened(folder) as (_, connection):
        counted, _ = class_counts(connection, rules)
    total = sum(one.total() for one in counted)
    return [
        DataNote(
            "warning",
            f"{folder.name}/{one.name}",
            f"{one.total() / total:.1%} of the dataset's requests are of this class, which no series plans",
        )
        for one in counted
        if one.name not in planned and total > 0
    ]
