"""The kernel of models/simulator/pool.py: a pool of replicas with routing, bounded queues, deadlines, retries,
priorities, KV preemption, and replicas that drain or die.

A lane is a pool. At each step every lane handles the one thing that happens next in it: an arrival is routed, or the
replica whose clock is lowest frees a finished request, drops an expired one, loses its requests, preempts, grants a
prefill chunk, or closes its iteration. Each touches one replica's table of slots, and at most one request leaves it.
The row of slots that the next step needs is read after this step's write: XLA would copy the table otherwise.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

import models.simulator.pool_state as ps
from models.simulator.cost import Cost, behind_host, in_rounds, linear_at, whole_chunk
from models.simulator.pool_state import FIELDS, NEVER, Rules, Slots, State


def _first(mask: jax.Array, *keys: jax.Array) -> jax.Array:
    """Index of the masked slot with the lowest keys, compared in order; [lanes]. Arbitrary where none is masked."""
    for key in keys:
        least = jnp.where(mask, key, NEVER).min(axis=1, keepdims=True)
        mask = mask & (key == least)
    return jnp.argmax(mask, axis=1)


def _route(s: State, rules: Rules, now: jax.Array, draw: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The replica that an arrival at `now` goes to, and whether any is there to take it."""
    replicas = jnp.arange(rules.down_from.shape[1])[None, :]
    away = (rules.down_from <= now[:, None]) & (now[:, None] < rules.down_until)
    up = ~away & (replicas < rules.replicas[:, None])
    count = up.sum(axis=1)
    pick = jnp.where(
        rules.routing == ps.RANDOM,
        jnp.minimum((draw * count).astype(jnp.int32), count - 1),
        s.turn % jnp.maximum(count, 1),
    )
    chosen = jnp.argmax(up & (jnp.cumsum(up, axis=1) - 1 == pick[:, None]), axis=1)
    shortest = jnp.argmin(jnp.where(up, s.outstanding, NEVER), axis=1)
    return jnp.where(rules.routing == ps.SHORTEST_QUEUE, shortest, chosen).astype(jnp.int32), count > 0


@partial(jax.jit, static_argnames=("slots", "retries", "most_steps"))
def run(
    cost: Cost, table: jax.Array, draws: jax.Array, rules: Rules, *, slots: int, retries: int, most_steps: int
) -> State:
    """Every lane until its requests have all been served or given up, or most_steps.

    table: int32 [lanes, requests, 7] of arrival tick, prompt, cached and output tokens, priority, patience (ticks until
    the first token) and deadline (ticks until the end), NEVER for none; draws [lanes, requests, 1 + retries] uniform,
    for the routing of every attempt.
    """
    lanes, requests = table.shape[:2]
    replicas = rules.down_from.shape[1]
    lane = jnp.arange(lanes)
    fields = len(FIELDS) + (cost.stages is not None)
    block = rules.block_tokens[:, None]

    def blocks(tokens: jax.Array) -> jax.Array:
        return ((tokens + block - 1) // block) * block

    def arrival_of(head: jax.Array) -> jax.Array:
        row = table.at[lane, jnp.minimum(head, requests - 1)].get(mode="clip")
        return row.at[:, 0].set(jnp.where(head < requests, row[:, 0], NEVER))

    def body(s: State) -> State:
        row = Slots(*(s.row[:, i] for i in range(fields)))
        mine = jnp.arange(replicas)[None, :] == s.replica[:, None]
        fresh = s.source < 0
        retry = s.fifo_next[lane, jnp.maximum(s.source, 0)]
        due = jnp.where(fresh, s.next_row[:, 0], retry[:, 1])
        asks = jnp.where(fresh, s.head, retry[:, 0])
        now = jnp.where(s.arriving, due, jnp.where(mine, s.clock, 0).sum(axis=1))
        acting = s.live & ~s.arriving
        away = jnp.where(mine, (rules.down_from <= now[:, None]) & (now[:, None] < rules.down_until), False).any(axis=1)

        # What is in the row.
        active = (row.state >= ps.WAITING) & (row.state <= ps.DECODE)
        queued = row.state == ps.WAITING
        decoding = row.state == ps.DECODE
        joining = row.state == ps.JOINING
        context = row.prompt + row.produced
        kept = blocks(context + 1)
        held = jnp.where(decoding | joining | (row.state == ps.PREFILL), kept, 0).sum(axis=1)
        running = (decoding | joining).sum(axis=1)
        partial_ = (row.state == ps.PREFILL).any(axis=1)
        n_decoding = decoding.sum(axis=1)

        # An arrival takes a free slot, or is turned away.
        wanted = table.at[lane, jnp.clip(asks, 0, requests - 1)].get(mode="clip")
        free = row.state == ps.EMPTY
        taken = s.live & s.arriving & s.open & (queued.sum(axis=1) < rules.max_queue) & free.any(axis=1)
        turned_away = s.live & s.arriving & ~taken

        # What a replica does, in this order.
        finished = acting & (row.state == ps.DONE).any(axis=1)
        late = active & ((row.deadline < now[:, None]) | ((row.patience < now[:, None]) & (row.first < 0)))
        expires = acting & ~finished & late.any(axis=1)
        loses = acting & ~finished & ~expires & away & rules.abrupt & active.any(axis=1)
        idle = acting & ~finished & ~expires & ~loses
        alone = running + partial_ <= 1
        preempts = idle & rules.preempts & (s.granted == 0) & (held > rules.kv_tokens) & ~alone
        idle = idle & ~preempts
        # Under overlap a request that came during an iteration joins the one after the next; with nothing to run the
        # scheduler looks again at once.
        begins = (running == 0) & ~partial_ & (s.granted == 0)
        seen = jnp.where(begins, now, jnp.where(mine, s.seen, 0).sum(axis=1))
        known = queued & (row.came <= seen[:, None])
        waiting = jnp.where(partial_[:, None], row.state == ps.PREFILL, known)
        candidate = _first(waiting, row.priority, row.order)

        def at(values: jax.Array, slot: jax.Array) -> jax.Array:
            return jnp.take_along_axis(values, slot[:, None], axis=1)[:, 0]

        room = rules.token_budget - n_decoding - s.granted
        needs = at(context, candidate) - at(row.cached, candidate) - at(row.prefilled, candidate)
        fits = held + at(kept, candidate) <= rules.kv_tokens
        admissible = partial_ | ((running < rules.max_num_seqs) & (fits | (running == 0)))
        grants = idle & waiting.any(axis=1) & (room > 0) & admissible
        closes = idle & ~grants

        # Grant a chunk of prompt.
        tokens = jnp.where(grants, jnp.minimum(room, needs), 0)
        before = (at(row.cached, candidate) + at(row.prefilled, candidate)).astype(jnp.float32)
        work = s.work + tokens * (before + 0.5 * tokens)
        completes = grants & (tokens == needs)
        granted = s.granted + tokens

        # Close the iteration: its cost, then a token for every request that decodes or joins.
        n, k = n_decoding.astype(jnp.float32), jnp.where(decoding, context, 0).sum(axis=1).astype(jnp.float32)
        total = n_decoding + s.granted
        seconds = linear_at(cost, total.astype(jnp.float32))
        mixed = jnp.where(s.granted > 0, cost.mixed, 1.0)
        decode = (cost.d0 + (cost.d1 * n + cost.d2 * k) * in_rounds(cost, n)) * mixed
        decode = jnp.where(n_decoding > 0, decode, 0.0)
        seconds = seconds + decode
        seconds = seconds + jnp.where(s.granted > 0, cost.p0 + cost.p1 * s.granted + cost.p2 * s.work, 0.0)
        if cost.host is not None:
            seconds, _ = behind_host(seconds, cost.host * n)
        ran = closes & (total > 0)
        duration = jnp.where(ran, jnp.maximum(jnp.round(seconds).astype(jnp.int32), 1), 0)
        ends = now + duration
        falls = jnp.where(mine, rules.down_from, 0).sum(axis=1)
        cut = ran & rules.abrupt & (now < falls) & (falls < ends)
        ends = jnp.where(cut, falls, ends)
        steps = (ran & ~cut)[:, None] & (decoding | joining)
        produced = row.produced + steps
        leaving, late_ = ends[:, None], row.late
        if late_ is not None:
            # The longest chunk of what joins, and of what came before in the prompts of those that do.
            prompts = joining | (row.state == ps.PREFILL)
            whole = whole_chunk(cost, n, s.granted.astype(jnp.float32), s.work, decode)
            longest = jnp.maximum(
                jnp.where(prompts, late_, 0).max(axis=1), jnp.round(whole - seconds).astype(jnp.int32)
            )
            chunks = (ran & ~cut & (s.granted > 0))[:, None] & prompts
            late_ = jnp.where(chunks, longest[:, None], late_)
            leaving = leaving + late_
        ready = steps & (produced == row.output) & (row.deadline >= leaving)

        # The one request that leaves its slot, or moves in it.
        victim = _first(decoding | joining | (row.state == ps.PREFILL), -row.priority, -row.order)
        leaver = jnp.where(
            finished,
            jnp.argmax(row.state == ps.DONE, axis=1),
            _first(jnp.where(expires[:, None], late, active), row.order),
        )
        leaves = finished | expires | loses
        slot = jnp.where(
            taken, jnp.argmax(free, axis=1), jnp.where(leaves, leaver, jnp.where(preempts, victim, candidate))
        )
        touched = (taken | leaves | preempts | grants)[:, None] & (jnp.arange(slots)[None, :] == slot[:, None])
        state = jnp.where(steps, jnp.where(ready, ps.DONE, ps.DECODE), row.state)
        becomes = jnp.where(
            leaves, ps.EMPTY, jnp.where(completes, ps.JOINING, jnp.where(grants, ps.PREFILL, ps.WAITING))
        )

        def put(old: jax.Array, new: jax.Array, when: jax.Array) -> jax.Array:
            return jnp.where(touched & when[:, None], new[:, None], old)

        attempt = jnp.where(fresh, 0, s.source + 1)
        patience = jnp.where(wanted[:, 5] == NEVER, NEVER, now + jnp.minimum(wanted[:, 5], NEVER - now))
        deadline = jnp.where(wanted[:, 6] == NEVER, NEVER, now + jnp.minimum(wanted[:, 6], NEVER - now))
        prefilled = put(
            row.prefilled, jnp.where(grants, at(row.prefilled, candidate) + tokens, 0), grants | preempts | taken
        )
        after = Slots(
            put(state, becomes, taken | leaves | preempts | grants),
            put(row.request, asks, taken),
            put(row.order, s.order, taken),
            put(row.priority, wanted[:, 4], taken),
            put(row.prompt, wanted[:, 1], taken),
            put(row.cached, wanted[:, 2], taken),
            put(row.output, wanted[:, 3], taken),
            prefilled,
            put(produced, jnp.zeros_like(asks), taken),
            put(jnp.where(steps & (row.first < 0), leaving, row.first), jnp.full_like(asks, -1), taken),
            jnp.where(ready, leaving, row.end),
            put(row.patience, patience, taken),
            put(row.deadline, deadline, taken),
            put(row.attempt, attempt, taken),
            put(row.came, now, taken),
            None if late_ is None else put(late_, jnp.zeros_like(asks), taken | preempts),
        )
        table_ = s.table.at[lane, s.replica].set(jnp.stack([one for one in after if one is not None], axis=1))

        # Whoever was turned away, dropped or lost comes back after its backoff, or gives up.
        fails = turned_away | expires | loses
        who = jnp.where(turned_away, asks, at(row.request, leaver))
        tries = jnp.where(turned_away, attempt, at(row.attempt, leaver))
        retried = fails & (tries < rules.retries)
        level = jnp.minimum(tries, retries - 1)
        tail = jnp.take_along_axis(s.fifo_tail, level[:, None], axis=1)[:, 0]
        wait = rules.backoff.astype(jnp.float32) * jnp.exp2(tries.astype(jnp.float32))
        back = now + jnp.minimum(wait, (NEVER - 1 - now).astype(jnp.float32)).astype(jnp.int32)
        place = jnp.where(retried, tail, requests)
        fifo = s.fifo.at[lane, level, place].set(jnp.stack([who, back], axis=1), mode="drop")
        levels = jnp.arange(retries)[None, :]
        fifo_tail = s.fifo_tail + (retried[:, None] & (levels == level[:, None]))
        from_fifo = s.live & s.arriving & ~fresh
        fifo_head = s.fifo_head + (from_fifo[:, None] & (levels == s.source[:, None]))
        gone = finished | (fails & ~retried)
        fate = jnp.where(
            finished, ps.SERVED, jnp.where(turned_away, ps.REJECTED, jnp.where(expires, ps.TIMED_OUT, ps.LOST))
        )
        entry = jnp.stack(
            [fate, at(row.first, leaver), jnp.where(finished, at(row.end, leaver), now), tries, s.replica], axis=1
        )
        log = s.log.at[lane, jnp.where(gone, who, requests)].set(entry, mode="drop")

        # Clocks. A replica without requests stands still until one comes.
        left = (after.state != ps.EMPTY).any(axis=1)
        stood = jnp.where(mine, s.clock, 0).sum(axis=1)
        own = jnp.where(s.arriving, jnp.where(stood == NEVER, now, stood), jnp.where(ran, ends, now))
        own = jnp.where(left, own, NEVER)
        clock = jnp.where(mine & s.live[:, None], own[:, None], s.clock)
        seen = jnp.where(ran, jnp.where(rules.overlap, now, ends), seen)
        known_until = jnp.where(mine & acting[:, None], seen[:, None], s.seen)
        outstanding = s.outstanding + jnp.where(mine, (taken.astype(jnp.int32) - leaves)[:, None], 0)
        head = s.head + (s.live & s.arriving & fresh)
        order = s.order + taken
        turn = s.turn + (s.live & s.arriving)
        next_row = arrival_of(head)
        fifo_next = fifo.at[lane[:, None], levels, jnp.minimum(fifo_head, requests - 1)].get(mode="clip")
        fifo_due = jnp.where(fifo_head < fifo_tail, fifo_next[:, :, 1], NEVER)
        fifo_next = jnp.stack([fifo_next[:, :, 0], fifo_due], axis=2)
        moved = s._replace(
            step=s.step + 1, table=table_, clock=clock, seen=known_until, outstanding=outstanding, head=head,
            next_row=next_row, fifo=fifo, fifo_head=fifo_head, fifo_tail=fifo_tail, fifo_next=fifo_next, order=order,
            turn=turn, log=log,
            granted=jnp.where(ran, 0, granted), work=jnp.where(ran, 0.0, work),
            preempted=s.preempted + preempts, iterations=s.iterations + (ran & ~cut),
            busy=s.busy + (ends - now).astype(jnp.float32),
            kv_peak=jnp.maximum(s.kv_peak, jnp.where(ran, held, 0)),
            queue_peak=jnp.maximum(s.queue_peak, jnp.where(s.live, queued.sum(axis=1) + taken, 0)),
            running_peak=jnp.maximum(s.running_peak, jnp.where(ran, running, 0)),
            crowded=s.crowded | (turned_away & s.open & ~free.any(axis=1)),
        )  # fmt: skip
        return choose(moved)

    def choose(s: State) -> State:
        """What happens next in every lane, and the row it happens in. Arrivals go before replicas at equal times.

        A replica that is amid its grants has the lowest clock still, so it goes on; an arrival in between joins.
        """
        retry = s.fifo_next[:, :, 1]
        soonest = jnp.argmin(retry, axis=1)
        retry_due = retry.min(axis=1)
        from_table = s.next_row[:, 0] <= retry_due
        due = jnp.minimum(s.next_row[:, 0], retry_due)
        first = jnp.argmin(s.clock, axis=1).astype(jnp.int32)
        earliest = s.clock.min(axis=1)
        arriving = (due <= earliest) & (due < NEVER)
        returning = jnp.take_along_axis(s.fifo_next[:, :, 0], soonest[:, None], axis=1)[:, 0]
        asks = jnp.where(from_table, s.head, returning)
        attempt = jnp.where(from_table, 0, soonest + 1)
        lot = draws.at[lane, jnp.clip(asks, 0, requests - 1), attempt].get(mode="clip")
        target, open_ = _route(s, rules, due, lot)
        replica = jnp.where(arriving, target, first)
        return s._replace(
            replica=replica,
            arriving=arriving,
            open=open_,
            source=jnp.where(from_table, -1, soonest).astype(jnp.int32),
            live=arriving | (earliest < NEVER),
            row=s.table[lane, replica],
        )

    def zeros(*shape: int, dtype: type = jnp.int32) -> jax.Array:
        return jnp.zeros((lanes, *shape), dtype=dtype)

    start = choose(
        State(
            step=jnp.int32(0), open=zeros(dtype=bool),
            table=zeros(replicas, fields, slots), row=zeros(fields, slots), replica=zeros(),
            arriving=zeros(dtype=bool), source=zeros(), clock=jnp.full((lanes, replicas), NEVER),
            seen=zeros(replicas), granted=zeros(),
            work=zeros(dtype=jnp.float32), outstanding=zeros(replicas), head=zeros(), next_row=arrival_of(zeros()),
            fifo=zeros(retries, requests, 2), fifo_head=zeros(retries), fifo_tail=zeros(retries),
            fifo_next=jnp.full((lanes, retries, 2), NEVER), order=zeros(), turn=zeros(),
            log=jnp.full((lanes, requests, 5), -1), live=zeros(dtype=bool), preempted=zeros(), iterations=zeros(),
            busy=zeros(dtype=jnp.float32), kv_peak=zeros(), queue_peak=zeros(), running_peak=zeros(),
            crowded=zeros(dtype=bool),
        )
    )  # fmt: skip
    return jax.lax.while_loop(lambda s: s.live.any() & (s.step < most_steps), body, start)
