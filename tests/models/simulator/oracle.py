"""The same engine as a slow, obvious program: a list of running requests, one loop, floats."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Request:
    arrival_s: float
    prompt: int
    cached: int
    output: int
    prefilled: int = 0
    produced: int = 0
    first_s: float = math.nan
    end_s: float = math.nan
    late_s: float = 0.0

    @property
    def context(self) -> int:
        return self.prompt + self.produced


@dataclass(frozen=True)
class Cost:
    tokens: list[float]
    linear: list[float]
    d0: float
    d1: float
    d2: float
    p0: float
    p1: float
    p2: float
    mixed: float = 1.0
    host: float = 0.0
    stages: int = 1

    def decode(self, requests: int, kv_tokens: int, mixed: bool) -> float:
        """Seconds of decoding: fewer requests than stages leave micro-batches empty, and share the work among fewer."""
        if not requests:
            return 0.0
        each = self.stages / min(requests, self.stages)
        return (self.d0 + (self.d1 * requests + self.d2 * kv_tokens) * each) * (self.mixed if mixed else 1.0)

    def passes(self, requests: int, granted: int, work: float, decode: float) -> float:
        """Seconds in which prompt tokens that stay together, beside their share of the requests, pass all stages."""
        alone = self.at(requests + self.stages * granted) + decode
        alone += self.p0 + self.stages * (self.p1 * granted + self.p2 * work)
        return self.beside_host(alone, requests)

    def beside_host(self, gpu: float, decoding: int) -> float:
        return (gpu**4 + (self.host * decoding) ** 4) ** 0.25

    def at(self, t: float) -> float:
        for (x0, y0), (x1, y1) in zip(
            zip(self.tokens, self.linear, strict=True),
            zip(self.tokens[1:], self.linear[1:], strict=True),
            strict=False,
        ):
            if t <= x1 or x1 == self.tokens[-1]:
                return y0 + (y1 - y0) * (max(t, self.tokens[0]) - x0) / (x1 - x0)
        raise AssertionError


def up(value: float, unit: int) -> int:
    return math.ceil(value / unit) * unit


def run(
    requests: list[Request], cost: Cost, max_seqs: int, budget: int, kv_tokens: float, block: int, pad: bool = False,
    overlap: bool = False, clients: int = 0,
) -> None:  # fmt: skip
    """Fills first_s and end_s of every request; `clients` (0: an open loop) each send the next when the last ended."""
    if clients:
        for r in requests[clients:]:
            r.arrival_s = math.inf
    unsent = list(requests[clients:]) if clients else []
    queue, running, clock, seen = list(requests), [], 0.0, 0.0
    late = 0.0
    while queue or running:
        if not running and queue[0].arrival_s > clock and queue[0].prefilled == 0:
            clock = queue[0].arrival_s
        if not running and queue and queue[0].prefilled == 0:
            seen = clock
        decoding = list(running)
        room, chunks, finished = budget - len(decoding), [], []
        while queue and queue[0].arrival_s <= seen and room > 0:
            head = queue[0]
            if head.prefilled == 0:
                alive = len(decoding) + len(finished)
                held = sum(r.context for r in decoding) + sum(r.prompt + 1 for r in finished) + alive * (block // 2)
                fits = held + math.ceil((head.prompt + 1) / block) * block <= kv_tokens
                if alive >= max_seqs or not (fits or alive == 0):
                    break
            chunk = min(room, head.prompt - head.cached - head.prefilled)
            chunks.append((chunk, head.cached + head.prefilled))
            head.prefilled += chunk
            room -= chunk
            if head.prefilled == head.prompt - head.cached:
                finished.append(queue.pop(0))
        granted = sum(chunk for chunk, _ in chunks)
        batch = len(decoding) + granted
        seconds = cost.at(up(batch, 8) if pad else batch)
        decode = cost.decode(len(decoding), sum(r.context for r in decoding), bool(granted))
        seconds += decode
        if granted:
            if pad:
                chunks = [
                    (math.sqrt(sum(chunk**2 for chunk, _ in chunks)), sum(up(before, 64) for _, before in chunks))
                ]
            work = sum(chunk * (before + chunk / 2) for chunk, before in chunks)
            seconds += cost.p0 + cost.p1 * sum(chunk for chunk, _ in chunks) + cost.p2 * work
        seconds = cost.beside_host(seconds, len(decoding))
        if granted and cost.stages > 1:
            late = max(late, cost.passes(len(decoding), granted, work, decode) - seconds)
        for r in finished:
            r.late_s = late
        if not queue or queue[0].prefilled == 0:
            late = 0.0
        seen, clock = clock if overlap else clock + seconds, clock + seconds
        for r in decoding:
            r.produced += 1
        for r in finished:
            r.first_s, r.produced = clock + r.late_s, 1
        for r in decoding + finished:
            if r.produced == r.output:
                r.end_s = clock + r.late_s
                if unsent:
                    unsent.pop(0).arrival_s = clock
        running = [r for r in decoding + finished if r.produced < r.output]
