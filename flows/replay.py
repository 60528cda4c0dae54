"""`fleetcast replay`: a planned fleet, pool by pool, against a recorded or drawn peak at full resolution, with a
replica, a zone or a region lost on the way, and during a rollout."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import InputError
from configs.mapping import load_mapping
from data import archive
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.dataset import MANIFEST, opened
from data.ingestion import ingest_files
from data.plain import finite
from data.plan_records import Pool
from data.records import Configuration, FloatArray, IntArray
from data.replay_records import PoolRun, Situation
from data.statistics.lengths import SERVED
from flows.check_plan import mix_of, pool_mix
from flows.progress import report
from models.fleet_replay import BEGINS, Stream, answer, followed, judge, merged
from models.simulator.engine import engine_limits
from models.simulator.load import Mix, draw, mean_context_tokens
from models.step_cost import step_cost
from optimizer.failover import after_region_loss
from reports.bundle import PlanBundle
from reports.write import ARCHIVE

ASSUMED_ZONES = 3
"""Zones that a pool's replicas are taken to be spread over where the scenario says nothing: public regions have three
as a rule."""
MORE = 1e-6
"""Share of its own load above which a pool's load after a loss is more than before."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The busiest part of a trace: seconds from its start (rising) and tokens, [requests]; source says what it is."""

    request_class: str
    arrival_s: FloatArray
    input_tokens: IntArray
    cached_tokens: IntArray
    output_tokens: IntArray
    source: str


def read_trace(path: Path, mapping: Path | None, request_class: str, minutes: float) -> Recorded:
    """The busiest `minutes` of a trace or of a dataset that `fleetcast ingest` made. Raises InputError for a file that
    cannot be read, or has no requests one by one."""
    if (path / MANIFEST).exists():
        return _busiest(path, path.name, request_class, minutes)
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as scratch:
        folder = Path(scratch) / "trace"
        (answer_,) = ingest_files([path], folder, None if mapping is None else load_mapping(mapping))
        if answer_.source is None:
            raise InputError(str(path), "a trace that can be read", answer_.error or "", "See `fleetcast ingest`.")
        return _busiest(folder, path.name, request_class, minutes)


def _busiest(folder: Path, name: str, request_class: str, minutes: float) -> Recorded:
    with opened(folder) as (_, connection):
        found = connection.execute(
            "SELECT epoch_us(ts) / 1e6 AS at, input_tokens, coalesce(cached_tokens, 0) AS cached, output_tokens "
            f"FROM requests WHERE {SERVED} AND input_tokens > 0 AND output_tokens > 0 ORDER BY ts"
        ).fetchnumpy()
    at = np.asarray(found["at"], dtype=np.float64)
    if len(at) < 2:
        raise InputError(name, "at least two requests with token counts", str(len(at)), "Name a request-level trace.")
    at -= at[0]
    begins = int(np.argmax(np.searchsorted(at, at + 60.0 * minutes, side="right") - np.arange(len(at))))
    window = slice(begins, int(np.searchsorted(at, at[begins] + 60.0 * minutes, side="right")))
    tokens = [np.asarray(found[key][window], dtype=np.int64) for key in ("input_tokens", "cached", "output_tokens")]
    span = at[window][-1] - at[begins]
    source = (
        f"{name}, its busiest {span / 60:.0f} min: {len(tokens[0]):,} requests from minute {at[begins] / 60:.0f} on"
    )
    return Recorded(request_class, at[window] - at[begins], tokens[0], tokens[1], tokens[2], source)


@dataclass(frozen=True, slots=True)
class Replayed:
    """Every pool through every situation, and what it was played with."""

    runs: tuple[PoolRun, ...]
    traffic: str

    @property
    def holds(self) -> bool:
        """Whether nothing misses that the plan keeps a reserve for."""
        return not any(run.breaks and run.situation.kept for run in self.runs)


def open_run(folder: Path) -> PlanBundle:
    """The plan of a run folder. Raises InputError where there is none."""
    return archive.load(PlanBundle, folder / ARCHIVE)


def replay_run(bundle: PlanBundle, recorded: Recorded | None, load: float, minutes: float, seed: int = 0) -> Replayed:
    """Every pool at its highest load a replica of all months, times `load`, for `minutes` or as long as the trace has
    requests at that rate. Raises InputError where the trace is of a class that no pool serves."""
    if recorded is not None:
        known = sorted({row.request_class for row in bundle.capacity.rows})
        if recorded.request_class not in known:
            raise InputError("--class", f"one of {', '.join(known)}", recorded.request_class, "Name a planned class.")
    busiest: dict[tuple[Configuration, str], Pool] = {}
    for pool in bundle.plan.pools:
        other = busiest.get((pool.configuration, pool.region))
        if other is None or pool.peak_rps / pool.replicas > other.peak_rps / other.replicas:
            busiest[pool.configuration, pool.region] = pool
    burst, cv = bundle.scenario.forecast.burst_factor, bundle.scenario.evaluate.arrival_cv
    runs: list[PoolRun] = []
    report("replaying")
    moves = failovers(bundle)
    for number, (place, pool) in enumerate(busiest.items()):
        report(f"  pool {number + 1} of {len(busiest)}: {pool.configuration.label} in {pool.region}")

        def drawn_at(mix: Mix, rps: float, number: int = number) -> Stream:
            return pool_stream(mix, rps * load, recorded, burst, 60.0 * minutes, seed + number, cv)

        if pool.peak_rps > 0.0:
            runs += _through(bundle, pool, situations(bundle, pool), drawn_at)
        for there, situation in moves.get(place, ()):
            runs += _through(bundle, there, [situation], drawn_at)
    varied = "" if cv == 1.0 else f" (coefficient of variation of the gaps {cv:g})"
    drawn = f"random arrivals{varied} at the planned peak, lengths of every class as planned"
    told = drawn
    if recorded is not None:
        mean = f"its mean set to that of the planned peak hour (the peak without the burst factor of {burst:g})"
        told = f"{recorded.request_class} from {recorded.source}, {mean}; other classes: {drawn}"
    return Replayed(tuple(runs), told if load == 1.0 else f"{told}; {load:g} times the planned peak")


def situations(bundle: PlanBundle, pool: Pool) -> Iterator[Situation]:
    """What a pool goes through but for the loss of another region (`failovers`); a situation that would leave no
    replica is named all the same."""
    policy = bundle.scenario.plan
    yield Situation("all replicas")
    failures = max(policy.failures_per_pool, 1)
    yield Situation(f"{failures} lost", lost=failures, kept=pool.failure_replicas > 0)
    if pool.rollout_replicas:
        yield Situation("rollout", away=pool.rollout_replicas)
    zones, name = policy.reserves.zones, "zone lost"
    if zones < 2:
        zones, name = ASSUMED_ZONES, f"zone lost, if its replicas are spread over {ASSUMED_ZONES}"
    lost = math.ceil(pool.replicas / zones)
    yield Situation(name, lost=lost, kept=policy.reserves.zone_loss, protected_alone=True)


def failovers(bundle: PlanBundle) -> dict[tuple[Configuration, str], list[tuple[Pool, Situation]]]:
    """By place, the loss of every other region that brings a pool more of some protected class than it had, in the
    month in which it brings most a replica. Pools that carry nothing but then are among them."""
    plan, problem = bundle.plan, bundle.problem
    found: dict[tuple[Configuration, str, str], tuple[Pool, Mapping[str, float]]] = {}
    for month in dict.fromkeys(pool.month for pool in plan.pools):
        for lost in problem.regions:
            for pool, coming in after_region_loss(problem, plan.pools, month, lost).items():
                own = {part.name: part.share for part in _mix(bundle, pool)} if pool.peak_rps > 0.0 else {}
                if all(rps <= own.get(name, 0.0) * (1.0 + MORE) for name, rps in coming.items()):
                    continue
                key = (pool.configuration, pool.region, lost)
                if key not in found or _a_replica(pool, coming) > _a_replica(*found[key]):
                    found[key] = pool, coming
    kept = bundle.scenario.plan.reserves.region_loss
    places: dict[tuple[Configuration, str], list[tuple[Pool, Situation]]] = {}
    for (one, region, lost), (pool, most) in found.items():
        situation = Situation(f"{lost} lost", coming=most, kept=kept, protected_alone=True)
        places.setdefault((one, region), []).append((pool, situation))
    return places


def _mix(bundle: PlanBundle, pool: Pool) -> Mix:
    return pool_mix(bundle.scenario, bundle.history, bundle.capacity, bundle.problem, bundle.plan.routes, pool)


def _a_replica(pool: Pool, coming: Mapping[str, float]) -> float:
    return sum(coming.values()) / pool.replicas


def pool_stream(
    mix: Mix, rps: float, recorded: Recorded | None, burst_factor: float, most_s: float, seed: int, cv: float = 1.0
) -> Stream:
    """Requests of a pool whose planned peak is rps: the recorded class at its own rhythm, the others drawn at random
    with gaps of variation cv.

    The planned peak is the peak hour's mean times burst_factor. A recorded hour has bursts of its own: its clock is set
    so that its mean is the hour's.
    """
    total = sum(one.share for one in mix)
    span, parts = most_s, []
    for number, one in enumerate(mix):
        if recorded is not None and one.name == recorded.request_class:
            rate = rps * one.share / total / burst_factor
            clock = recorded.arrival_s * (len(recorded.arrival_s) / rate / recorded.arrival_s[-1])
            span = min(most_s, float(clock[-1]))
            kept = np.flatnonzero(clock <= span)
            tokens = (recorded.input_tokens[kept], recorded.cached_tokens[kept], recorded.output_tokens[kept])
            parts.append(Stream(clock[kept], *tokens, np.full(len(kept), number)))
    for number, one in enumerate(mix):
        if recorded is None or one.name != recorded.request_class:
            rate = rps * one.share / total
            count = max(int(np.ceil(span * rate)), 2)
            drawn = draw([(one,)], count, 1, seed * len(mix) + number, cv)
            tokens = (drawn.input_tokens[0], drawn.cached_tokens[0], drawn.output_tokens[0])
            # A few large bursts may come in more or less than the span: the planned peak is their mean.
            mean = 1.0 if cv == 1.0 else count / drawn.unit_s[0, -1]
            parts.append(Stream(drawn.unit_s[0] * mean / rate, *tokens, np.full(count, number)))
    return merged(parts)


def _through(
    bundle: PlanBundle, pool: Pool, each: Iterable[Situation], drawn_at: Callable[[Mix, float], Stream]
) -> Iterator[PoolRun]:
    """A pool through situations; drawn_at: the traffic of a mix at a rate, requests/s."""
    one, mix = pool.configuration, _mix(bundle, pool)
    engine = find_engine(bundle.scenario.evaluate.engine)
    llms, gpus = {one.llm: find_llm(one.llm)}, {one.gpu: find_gpu(one.gpu)}
    catalog = load_coefficients().model_copy(update={"corrections": bundle.calibration})
    row = next(row for row in bundle.capacity.rows if row.configuration == one and row.excuse is None)
    limits = engine_limits(
        engine, one.max_num_seqs, one.max_num_batched_tokens, row.kv_capacity_tokens / one.schedulers
    )
    own = drawn_at(mix, pool.peak_rps) if pool.peak_rps > 0.0 else None
    for situation in each:
        come = mix_of(bundle.scenario, bundle.history, one, situation.coming) if situation.coming else mix
        seen, asked = _asked(mix, own, come, situation, drawn_at)
        begins = BEGINS * float((asked if own is None else own).arrival_s[-1])
        if situation.protected_alone:
            guarded = np.array([bundle.problem.protected[part.name] for part in seen])
            asked = asked.some(np.flatnonzero(guarded[asked.which] | (asked.arrival_s < begins)))
        here = pool.replicas - situation.away
        known = (one, pool.region, pool.month, situation, here)
        if not (asked.arrival_s >= begins).any():
            # Nothing on this pool is protected: nothing is promised of it.
            continue
        count, last = len(asked.arrival_s), float(asked.arrival_s[-1])
        rps = count / last
        if situation.coming:
            rps = float((asked.arrival_s >= begins).sum()) / (last - begins)
        told = (rps, count, last)
        if here - situation.lost < 1:
            yield PoolRun(*known, *told, 0, (), 0.0, "no replica is left")
            continue
        cost = step_cost([one], llms, gpus, engine, catalog, [mean_context_tokens(come)])
        found = answer(
            cost, limits, asked, here * one.schedulers, situation.lost * one.schedulers, begins,
            bundle.scenario.evaluate.routing,
        )  # fmt: skip
        yield PoolRun(*known, *told, found.retried, *judge(asked, found, seen, situation, begins))


def _asked(
    mix: Mix, own: Stream | None, come: Mix, situation: Situation, drawn_at: Callable[[Mix, float], Stream]
) -> tuple[Mix, Stream]:
    """Classes and requests of a pool in a situation: its own, followed by what comes in their place."""
    if not situation.coming:
        assert own is not None, "a pool without load goes through failovers alone"
        return mix, own
    if own is None:
        return come, drawn_at(come, sum(situation.coming.values()))
    # Classes that only come now follow those that the pool had.
    seen = (*mix, *(part for part in come if part.name not in {had.name for had in mix}))
    after = drawn_at(come, sum(situation.coming.values()))
    places = np.array([[had.name for had in seen].index(part.name) for part in come])
    after = replace(after, which=places[after.which])
    return seen, followed(own, after, BEGINS * float(own.arrival_s[-1]))


def replay_json(found: Replayed) -> str:
    """Every run with every figure, as JSON."""
    rows = [
        asdict(run) | {"configuration": run.configuration.label, "verdict": run.verdict, "llm": run.configuration.llm}
        for run in found.runs
    ]
    told = finite({"holds": found.holds, "traffic": found.traffic, "runs": rows})
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


COLOURS: Mapping[str, str] = {"holds": "green", "misses": "bold red"}


def show_replay(console: Console, found: Replayed) -> None:
    """A row a pool and situation, then what breaks, then the verdict."""
    table = Table(title="Replay, request by request", title_justify="left", title_style="bold", box=None)
    for name in ("pool", "situation"):
        table.add_column(name)
    for name in ("replicas", "req/s", "requests", "min", "within SLO", "worst minute"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for run in found.runs:
        one = run.configuration
        left = f"{run.replicas} -> {run.replicas - run.situation.lost}" if run.situation.lost else str(run.replicas)
        answered = [part for part in run.classes if not math.isnan(part.within_slo)]
        within = ", ".join(f"{part.name} {part.within_slo:.1%}" for part in answered)
        table.add_row(
            f"{one.label} {run.region}", run.situation.name, left, f"{run.rps:.3g}", f"{run.requests:,}",
            f"{run.seconds / 60:.0f}", within, f"{run.worst_minute:.1%}",
            f"[{COLOURS.get(run.verdict, 'yellow')}]{run.verdict}[/]",
        )  # fmt: skip
    console.print(table)
    for run in found.runs:
        if run.breaks:
            where = f"{run.configuration.label} {run.region}, {run.situation.name}"
            console.print(f"  {escape(where)}: {escape(run.breaks)}", soft_wrap=True)
    console.print(f"Traffic: {escape(found.traffic)}", soft_wrap=True)
    verdict = "[green]holds[/]" if found.holds else "[bold red]does not hold[/]"
    console.print(f"The plan {verdict} in what it keeps reserves for.")
