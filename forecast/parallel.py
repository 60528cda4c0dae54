"""Many series in processes of their own, started fresh: forking after numerical libraries have threads deadlocks."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import pandas as pd

from data import machine
from data.records import FloatArray
from forecast.single import Prepared, Task, prepared_or_fallback

SERIES_FOR_PROCESSES = 64
CHUNK = 8

Job = tuple[pd.Series, Task, int, FloatArray | None]
Spread = Callable[[Sequence[list[Job]]], Iterator[list[Prepared] | None]]
"""Prepares chunks of series elsewhere and gives them back in order; None for a chunk that was lost on the way."""


def workers_for(series: int, wanted: int) -> int:
    """How many processes: as wanted, or for 0 one a core from SERIES_FOR_PROCESSES on; 1 is this process."""
    if wanted:
        return min(wanted, max(series, 1))
    return 1 if series < SERIES_FOR_PROCESSES else machine.cores()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Processes started within have one BLAS thread each: more only spin against the other processes."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def prepare_chunk(jobs: list[Job]) -> list[Prepared]:
    """A few series, one after the other."""
    return [prepared_or_fallback(*job) for job in jobs]


def prepare_all(
    jobs: Sequence[Job], workers: int, report: Callable[[str], None], spread: Spread | None = None
) -> list[Prepared]:
    """Every series prepared, in order, in processes of this machine or by `spread`. A process that dies takes no series
    with it: they are done here instead."""
    count = workers_for(len(jobs), workers)
    found: dict[int, Prepared] = {}
    if spread is not None:
        chunks = [list(jobs[start : start + CHUNK]) for start in range(0, len(jobs), CHUNK)]
        for number, chunk in enumerate(spread(chunks)):
            for offset, prepared in enumerate(chunk or ()):
                found[number * CHUNK + offset] = prepared
            report(f"  series {len(found)} of {len(jobs)}")
    elif count > 1:
        context = multiprocessing.get_context("spawn")
        try:
            with one_blas_thread(), ProcessPoolExecutor(count, mp_context=context) as pool:
                starts = range(0, len(jobs), CHUNK)
                pending = {pool.submit(prepare_chunk, list(jobs[start : start + CHUNK])): start for start in starts}
                for done in as_completed(pending):
                    for offset, prepared in enumerate(done.result()):
                        found[pending[done] + offset] = prepared
                    report(f"  series {len(found)} of {len(jobs)}")
        except (BrokenProcessPool, OSError) as error:
            report(f"  processes failed ({error}); going on in this one")
    for i, job in enumerate(jobs):
        if i not in found:
            found[i] = prepared_or_fallback(*job)
            report(f"  series {len(found)} of {len(jobs)}")
    return [found[i] for i in range(len(jobs))]
