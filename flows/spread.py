"""Work spread over Dask through Prefect tasks; needs fleetcast[dask]."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.annotations import quote

from configs.compute import ComputePolicy
from configs.errors import InputError
from forecast.parallel import Job, prepare_chunk
from forecast.single import Prepared

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

T = TypeVar("T")
LOG = logging.getLogger(__name__)


def opaque(value: T) -> T:
    """The value, quoted: Prefect hands it on without walking through frames and records to look for futures."""
    return cast(T, quote(value))


def runner(compute: ComputePolicy) -> TaskRunner[Any]:
    """Prefect's task runner for a Dask cluster: the one that is named, or processes of this machine.

    Raises InputError where Dask is not installed or the scheduler does not answer.
    """
    try:
        from distributed import Client
        from prefect_dask import DaskTaskRunner
    except ModuleNotFoundError as error:
        raise InputError(
            "compute.on", "`here`, or Dask installed", f"no {error.name}", "Install fleetcast[dask]."
        ) from None
    if compute.scheduler is None:
        here: TaskRunner[Any] = DaskTaskRunner(
            cluster_kwargs={"n_workers": compute.workers, "threads_per_worker": 1, "dashboard_address": ":0"}
        )
        return here
    try:
        Client(compute.scheduler, timeout=10).close()
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            "compute.scheduler", "the address of a running Dask scheduler", f"{compute.scheduler}: {error}",
            "Start it (`dask scheduler`) or correct the address.",
        ) from None  # fmt: skip
    there: TaskRunner[Any] = DaskTaskRunner(address=compute.scheduler)
    return there


@contextmanager
def one_server() -> Iterator[None]:
    """Within it the workers talk to the server of this process. Without an address each would start one of its own,
    which takes longer than most series."""
    if PREFECT_API_URL.value() is not None:
        yield
        return
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start()  # it stops with this process
    with temporary_settings({PREFECT_API_URL: server.api_url}):
        yield


def prepare_bytes(chunk: bytes) -> bytes:
    """A pickled chunk of series, prepared and pickled: neither Prefect nor Dask looks for futures inside bytes."""
    return pickle.dumps(prepare_chunk(pickle.loads(chunk)))


# A worker that dies takes its chunk with it: the cluster does it again elsewhere before it is given up.
_prepare = task(name="series", cache_policy=NO_CACHE, persist_result=False, retries=2)(prepare_bytes)


def series_on_cluster(chunks: Sequence[list[Job]]) -> Iterator[list[Prepared] | None]:
    """Chunks of series prepared by the task runner of the running flow, in order; None for a chunk that was lost."""
    for number, future in enumerate([_prepare.submit(pickle.dumps(chunk)) for chunk in chunks]):
        try:
            yield pickle.loads(future.result())
        except Exception as error:  # noqa: BLE001 - whatever a cluster dies of, the series are prepared here instead
            LOG.warning("chunk %d of the series was lost (%s); it is prepared in this process", number, error)
            yield None


def on_cluster(name: str, compute: ComputePolicy, work: Callable[[], T]) -> T:
    """Does `work` inside a flow whose task runner is the cluster, which `series_on_cluster` then uses.

    Raises InputError as `runner` does.
    """
    by = runner(compute)

    @flow(name=name, validate_parameters=False, persist_result=False)
    def whole() -> T:
        return work()

    with one_server():
        return whole.with_options(task_runner=by)()
