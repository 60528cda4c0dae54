"""Scaling in words, rows, a picture and HTML."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from configs.errors import InputError
from data.records import Configuration
from data.scaling_file import read_scaling, scaling_document, scaling_json
from data.scaling_records import (
    BurstBudget,
    Candidate,
    Kind,
    PoolScaling,
    ScalerPolicy,
    StartUp,
    Timeline,
    TraceVerdict,
)
from reports import scaling
from reports.machine import SCHEMA_FILE
from reports.scaling_page import page, render
from tests.models.autoscaler.cases import replica


def verdict(short_s: float, attainment: float) -> TraceVerdict:
    return TraceVerdict("burst at rise", attainment, short_s, short_s, 40.0, 3.0, 10.0, 1.0, 2, 500.0)


def candidate(policy: ScalerPolicy, holds: bool, usd: float, short_s: float, attainment: float) -> Candidate:
    return Candidate(policy, holds, usd, (verdict(0.0, 0.999), verdict(short_s, attainment)))


def pool(plain_holds: bool = False, chosen_holds: bool = True) -> PoolScaling:
    policy = ScalerPolicy("concurrency", 33.0, 2, 14)
    plain = candidate(policy, plain_holds, 400.0, 0.0 if plain_holds else 390.0, 0.999 if plain_holds else 0.8499)
    best = candidate(replace(policy, headroom=3), chosen_holds, 460.0, 0.0 if chosen_holds else 200.0, 0.98)
    seconds = np.arange(0.0, 7200.0, 60.0)
    load = np.where((seconds > 3000) & (seconds < 4000), 90.0, 60.0)
    line = Timeline(seconds, load, np.full(120, 7.0), np.full(120, 7.0), np.zeros(120))
    return PoolScaling(
        llm="<b>Llama</b>", region="us-east", request_classes=("chat",),
        configuration=Configuration("Llama", "H100-SXM", "fp8", "bf16", 4, "vllm"), facts=replica(),
        start_up=StartUp(180.0, 90.0, 70.0, 60.0), promise=0.95, burst=BurstBudget(1.5, 60.0, 900.0, 60.0),
        peak_rps=60.0, chosen=best, chosen_kind="warm reserve",
        kinds=(Kind("reaction", "", plain), Kind("warm reserve", "", best)), signals=(best,), follows_per_min=0.026,
        warm_reserve=3, supply_factor=1.98, usd_per_replica_h=10.0, fixed_usd_per_day=3360.0, policies=800,
        statement="", schedule=(), pictured="burst at rise",
        timelines=(("chosen", replace(line, ready=np.full(120, 10.0))), ("reaction", line)),
        method="continuous-batching simulation",
    )  # fmt: skip


def test_it_says_by_how_much_reacting_is_too_late_and_what_holds() -> None:
    text = scaling.said(pool())
    assert "cannot hold the SLO (burst at rise): it is short of capacity for 6.5 min (allowed: 60 s)" in text
    # A share below the promise is never rounded up to it.
    assert "84.9% of requests" in text
    assert "2.6% a minute" in text
    assert "Warm reserve holds it for 460 USD a day (3,360 with all 14 replicas up at all hours)" in text
    assert "Plain reaction holds the SLO" in scaling.said(pool(plain_holds=True))
    assert "No policy tried holds it" in scaling.said(pool(chosen_holds=False))
    tight = scaling.said(replace(pool(), supply_factor=1.1))
    assert "carry a burst of 1.10 times, not 1.5" in tight


def test_heads_fit_their_rows() -> None:
    one = pool()
    assert all(len(row) == len(scaling.POOL_HEAD) for row in scaling.pool_rows([one]))
    assert all(len(row) == len(scaling.KIND_HEAD) for row in scaling.kind_rows(one))
    assert all(len(row) == len(scaling.TRACE_HEAD) for row in scaling.trace_rows(one.chosen))


@pytest.mark.slow
def test_the_section_escapes_names_and_draws_the_burst() -> None:
    html = render([pool()], date(2026, 11, 21))
    assert "<b>Llama" not in html
    assert html.count("<svg") == 2
    assert "burst at rise: plain reaction is short of capacity for 6.5 min" in html
    assert 'id="scaling"' in html
    assert "plain reaction is too late in 1" in html
    assert not re.search(r"https?://(?!www\.w3\.org/)", html)
    assert page([]) is None


def test_the_file_is_valid_and_read_back_as_it_was(tmp_path: Path) -> None:
    schema = json.loads((SCHEMA_FILE.parent / "scaling.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    pools = [pool(), replace(pool(), schedule=tuple(range(24)))]
    document = scaling_document(pools)
    jsonschema.validate(document, schema)
    jsonschema.validate(scaling_document(pools, ["a pool in us-west: stands by"]), schema)
    path = tmp_path / "scaling.json"
    path.write_text(scaling_json(pools), encoding="utf-8")
    assert scaling_document(read_scaling(path)) == document
    for broken, where in (
        ({"schema": "other/1"}, "schema"),
        (document | {"pools": [document["pools"][0] | {"promise": "much"}]}, r"pools\[0\].promise"),
        (document | {"pools": [{}]}, r"pools\[0\].llm"),
        (document | {"pools": [document["pools"][0] | {"chosen": 1}]}, r"pools\[0\].chosen"),
    ):
        path.write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(InputError, match=where):
            read_scaling(path)
