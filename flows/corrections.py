"""Accepted corrections on their way into the next plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from configs.errors import InputError
from data.forecast_records import Forecast
from data.history import TrafficHistory
from data.ledger import read
from data.ledger.connect import Ledger
from data.ledger.content import sha256
from data.ledger.records import Correction, CorrectionLine
from data.ledger.store import review
from data.records import CapacityTable
from reconcile.apply import corrected_capacity, corrected_forecast, corrected_history
from reconcile.standing import related, standing


@dataclass(frozen=True, slots=True)
class InForce:
    """The corrections that a plan uses, oldest first, each with the values that it uses."""

    lines: tuple[CorrectionLine, ...]

    @property
    def corrections(self) -> tuple[Correction, ...]:
        return tuple(line.correction for line in self.lines)

    def history(self, history: TrafficHistory) -> TrafficHistory:
        """History with them applied; each is an input of the plan, so that the run's fingerprint tells."""
        if not self.lines:
            return history
        found = corrected_history(history, self.corrections)
        told = {f"{read.CORRECTION_INPUT}{line.id}": sha256(line.correction.content()) for line in self.lines}
        return replace(found, inputs=dict(found.inputs) | told)

    def forecast(self, forecast: Forecast) -> Forecast:
        """Quantiles, scenarios and margins with them applied."""
        return corrected_forecast(forecast, self.corrections)

    def capacity(self, capacity: CapacityTable) -> CapacityTable:
        """Goodputs with them applied."""
        return corrected_capacity(capacity, self.corrections)


def in_force(ledger: Ledger, scenario: str) -> InForce:
    """The corrections of a scenario whose latest review accepts them and that no newer one supersedes."""
    return InForce(standing(read.corrections(ledger, scenario), read.plan_corrections(ledger, scenario)))


def decide(ledger: Ledger, names: Sequence[str], accept: bool | None, by: str, note: str) -> tuple[CorrectionLine, ...]:
    """Reviews the corrections whose ids start with `names` and returns them; without a name returns all there are.

    Raises InputError, with nothing reviewed, for an unknown or ambiguous id, a missing verdict or a missing name of who
    decides.
    """
    lines = read.corrections(ledger)
    plans = read.plan_corrections(ledger)
    if not names:
        return related(lines, plans)
    chosen: dict[str, None] = {}
    for name in names:
        found = [line.id for line in lines if line.id.startswith(name)]
        if len(found) != 1:
            known = ", ".join(line.id for line in lines[-5:]) or "none"
            got = f"{name!r} ({len(found)} match)"
            raise InputError("correction", "the id of one correction", got, f"Known: {known}.")
        chosen[found[0]] = None
    if accept is None or not by.strip():
        raise InputError(
            "review", "--accept or --reject, and --by NAME", "neither or one", "A person decides: say who."
        )
    for name in chosen:
        review(ledger, name, "accepted" if accept else "rejected", by.strip(), note)
    return tuple(line for line in related(read.corrections(ledger), plans) if line.id in chosen)
