"""The same pool as a slow, obvious program: objects, lists, floats; replicas act in the order of their clocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.models.simulator.oracle import Cost


@dataclass(eq=False)
class Job:
    """A request, and what became of it."""

    index: int
    arrival_s: float
    prompt: int
    cached: int
    output: int
    priority: int = 0
    patience_s: float = math.inf
    deadline_s: float = math.inf
    attempts: int = 0
    fate: str = ""
    first_s: float = math.nan
    end_s: float = math.nan
    replica: int = -1
    # of the present attempt
    order: int = 0
    came_s: float = 0.0
    prefilled: int = 0
    produced: int = 0
    running: bool = False
    late_s: float = 0.0

    def blocks(self, block: int) -> int:
        return math.ceil((self.prompt + self.produced + 1) / block) * block


@dataclass
class Replica:
    down: tuple[float, float]
    clock: float = math.inf
    seen: float = 0.0
    waiting: list[Job] = field(default_factory=list)
    filling: Job | None = None
    running: list[Job] = field(default_factory=list)
    done: int = 0
    """Requests that the iteration under way will finish."""

    def all(self) -> list[Job]:
        return sorted(
            [*self.waiting, *([self.filling] if self.filling else []), *self.running], key=lambda job: job.order
        )

    def away(self, now: float) -> bool:
        return self.down[0] <= now < self.down[1]

    def drop(self, job: Job) -> None:
        if job in self.waiting:
            self.waiting.remove(job)
        elif job is self.filling:
            self.filling = None
        else:
            self.running.remove(job)


@dataclass
class PoolOracle:
    cost: Cost
    max_seqs: int
    budget: int
    kv_tokens: float
    block: int
    max_queue: int
    routing: str
    retries: int
    backoff_s: float
    preempts: bool
    abrupt: bool
    replicas: list[Replica]
    draws: list[list[float]]
    """By request and attempt."""
    jobs: list[Job]
    overlap: bool = False
    preemptions: int = 0
    came: int = 0
    accepted: int = 0
    again: list[tuple[float, int, Job]] = field(default_factory=list)

    def run(self) -> None:
        ahead = list(self.jobs)
        while True:
            due = min([ahead[0].arrival_s] if ahead else [math.inf])
            back = min(self.again, key=lambda entry: entry[:2], default=(math.inf, 0, None))
            clock = min(replica.clock for replica in self.replicas)
            if min(due, back[0]) <= clock and min(due, back[0]) < math.inf:
                if due <= back[0]:
                    self.arrive(ahead.pop(0), due)
                else:
                    self.again.remove(back)
                    self.arrive(back[2], back[0])
            elif clock < math.inf:
                self.iterate(next(replica for replica in self.replicas if replica.clock == clock))
            else:
                return

    def arrive(self, job: Job, now: float) -> None:
        up = [replica for replica in self.replicas if not replica.away(now)]
        turn, self.came = self.came, self.came + 1
        if up:
            if self.routing == "random":
                replica = up[min(int(self.draws[job.index][job.attempts] * len(up)), len(up) - 1)]
            elif self.routing == "round_robin":
                replica = up[turn % len(up)]
            else:
                replica = min(up, key=lambda one: len(one.all()) + one.done)
        if not up or len(replica.waiting) >= self.max_queue:
            self.fail(job, now, "rejected")
            return
        job.order, self.accepted = self.accepted, self.accepted + 1
        job.came_s, job.prefilled, job.produced, job.first_s, job.late_s = now, 0, 0, math.nan, 0.0
        replica.waiting.append(job)
        if replica.clock == math.inf:
            replica.clock = now

    def fail(self, job: Job, now: float, fate: str) -> None:
        if job.attempts < self.retries:
            self.again.append((now + self.backoff_s * 2**job.attempts, job.attempts, job))
            job.attempts += 1
        else:
            job.fate, job.first_s = fate, math.nan

    def iterate(self, replica: Replica) -> None:
        now, replica.done = replica.clock, 0
        for job in replica.all():
            waits = math.isnan(job.first_s) and now > job.came_s + job.patience_s
            if now > job.came_s + job.deadline_s or waits:
                replica.drop(job)
                self.fail(job, now, "timed_out")
        if self.abrupt and replica.away(now):
            for job in replica.all():
                replica.drop(job)
                self.fail(job, now, "lost")
        if not replica.all():
            replica.clock = math.inf
            return
        decoding = list(replica.running)
        while self.preempts:
            held = [*replica.running, *([replica.filling] if replica.filling else [])]
            if sum(job.blocks(self.block) for job in held) <= self.kv_tokens or len(held) < 2:
                break
            victim = max(held, key=lambda job: (job.priority, job.order))
            replica.drop(victim)
            victim.prefilled, victim.late_s = 0, 0.0
            replica.waiting.append(victim)
            self.preemptions += 1
        decoding = list(replica.running)
        granted, work, joined = 0, 0.0, []
        if not replica.running and replica.filling is None:
            replica.seen = now
        while True:
            room = self.budget - len(decoding) - granted
            job = replica.filling
            if job is None:
                known = [one for one in replica.waiting if one.came_s <= replica.seen]
                if not known:
                    break
                job = min(known, key=lambda one: (one.priority, one.order))
                held = [*decoding, *joined]
                used = sum(one.blocks(self.block) for one in held) + job.blocks(self.block)
                if len(held) >= self.max_seqs or (held and used > self.kv_tokens) or room <= 0:
                    break
                replica.waiting.remove(job)
                replica.filling = job
            if room <= 0:
                break
            need = job.prompt + job.produced - job.cached - job.prefilled
            chunk = min(room, need)
            work += chunk * (job.cached + job.prefilled + chunk / 2)
            job.prefilled += chunk
            granted += chunk
            if chunk == need:
                replica.filling = None
                joined.append(job)
                replica.running.append(job)
        context = sum(job.prompt + job.produced for job in decoding)
        decode = self.cost.decode(len(decoding), context, bool(granted))
        seconds = self.cost.at(len(decoding) + granted) + decode
        if granted:
            seconds += self.cost.p0 + self.cost.p1 * granted + self.cost.p2 * work
        seconds = self.cost.beside_host(seconds, len(decoding))
        end = now + seconds
        if self.abrupt and now < replica.down[0] < end:
            replica.clock = replica.down[0]
            return
        replica.clock = end
        replica.seen = now if self.overlap else end
        if granted and self.cost.stages > 1:
            prompts = [*joined, *([replica.filling] if replica.filling else [])]
            late = self.cost.passes(len(decoding), granted, work, decode) - seconds
            late = max([late, *(job.late_s for job in prompts)])
            for job in prompts:
                job.late_s = late
        for job in list(replica.running):
            job.produced += 1
            if math.isnan(job.first_s):
                job.first_s = end + job.late_s
            if job.produced >= job.output and end + job.late_s <= job.came_s + job.deadline_s:
                replica.running.remove(job)
                replica.done += 1
                job.fate, job.end_s, job.replica = "served", end + job.late_s, self.replicas.index(replica)
