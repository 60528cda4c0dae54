"""The cost partial renders inside a page that has the table macro, and loses no dollar."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import reports
from flows import steps
from reports.cost_tables import brief, by_item, cost_tables
from tests.flows.small import small_made

TEMPLATES = Path(reports.__file__).parent / "templates"
PAGE = (
    "{% macro table(caption, head, rows, numeric=[]) %}<table><caption>{{ caption }}</caption>"
    "{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</table>"
    "{% endmacro %}"
    "{% include '_costs.html.j2' %}"
)


def test_the_partial_shows_every_line_unit_and_owner() -> None:
    costs = steps.bundle(small_made()).costs
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True)
    html = environment.from_string(PAGE).render(
        cost=cost_tables(costs), standing=("Short of capacity: x", "Rests on: y")
    )
    assert html.count("<caption>") == 4
    for text in (
        "engineering",
        "failure (N+k)",
        "failed and retried",
        "a successful task",
        "TTFT 15 s",
        "Bureau of Labor",
        "Rests on: y.",
        "Rests on: y.",
    ):
        assert text in html
    assert f"{costs.usd:,.0f}" in html
    shown = sum(float(row[3].replace(",", "")) for row in by_item(costs)[:-1])
    assert abs(shown - costs.usd) <= 0.5 * len(by_item(costs))
    assert abs(sum(float(row[1].replace(",", "")) for row in brief(costs)) - costs.usd) <= 0.5 * len(brief(costs))
