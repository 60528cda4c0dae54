"""Dask changes where work is done and nothing else: the same bytes, the same fingerprint, no series lost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.compute import ComputePolicy
from configs.errors import InputError
from configs.forecasting import ForecastPolicy
from configs.loading import load_scenario
from flows import steps
from flows.spread import runner
from forecast.parallel import CHUNK, Job, prepare_chunk
from forecast.portfolio import forecast
from forecast.single import Prepared
from tests.conftest import REPOSITORY
from tests.flows.conftest import Run
from tests.flows.small import small_made, small_scenario
from tests.forecast.test_portfolio import history, seasonal

POLICY = ForecastPolicy(horizon_months=1, paths=100, scenarios=2, backtest_windows=2)


def test_lost_chunks_are_prepared_here_and_the_numbers_are_the_same() -> None:
    told = history(**{f"s{i}": seasonal(6, seed=i) for i in range(CHUNK + 2)})
    asked: list[int] = []

    def losing(chunks: Sequence[list[Job]]) -> Iterator[list[Prepared] | None]:
        for number, chunk in enumerate(chunks):
            asked.append(len(chunk))
            yield prepare_chunk(chunk) if number else None

    spread, here = forecast(told, POLICY, 1, spread=losing), forecast(told, POLICY, 1)
    assert asked == [CHUNK, 2]
    for one, other in zip(spread.series, here.series, strict=True):
        assert one.hourly.tobytes() == other.hourly.tobytes()
    assert spread.demand.rps.tobytes() == here.demand.rps.tobytes()


def test_where_the_work_is_done_is_no_part_of_the_fingerprint(
    write_scenario: Callable[[dict[str, Any]], Path],
) -> None:
    made = small_made()
    raw = small_scenario() | {"compute": {"on": "dask", "workers": 7}}
    elsewhere = replace(made, loaded=load_scenario(str(write_scenario(raw))))
    assert elsewhere.loaded.scenario.compute.workers == 7
    assert steps.run_fingerprint(elsewhere) == steps.run_fingerprint(made)


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("prefect_dask", reason="Dask is not installed (fleetcast[dask])")
    with pytest.raises(InputError, match=r"compute\.scheduler"):
        runner(ComputePolicy(on="dask", scheduler="nowhere"))


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(InputError, match=r"fleetcast\[dask\]"):
        runner(ComputePolicy(on="dask"))


@pytest.fixture
def cluster(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    """Address of a scheduler with two workers, each a process of its own as on another machine."""
    pytest.importorskip("prefect_dask", reason="Dask is not installed (fleetcast[dask])")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    commands = [["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    commands += [["worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]] * 2
    logs = [(tmp_path / f"dask-{number}.log").open("w+") for number in range(3)]
    processes: list[subprocess.Popen[str]] = []
    try:
        for words, log in zip(commands, logs, strict=True):
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *words], cwd=REPOSITORY, env=environment, stdout=log, stderr=log,
                    text=True,
                )
            )  # fmt: skip
        _wait_for_workers(address, 2)
        yield address
    finally:
        for process, log in zip(processes[::-1], logs[::-1], strict=False):
            process.kill()  # asked politely, a worker waits for its scheduler
            process.wait(timeout=60)
            log.close()


def _wait_for_workers(address: str, workers: int) -> None:
    from distributed import Client

    end = time.monotonic() + 120
    while True:
        try:
            with Client(address, timeout=10) as client:
                client.wait_for_workers(workers, timeout=60)
            return
        except (OSError, TimeoutError):
            assert time.monotonic() < end, "no scheduler within two minutes"
            time.sleep(1)


def many_series() -> dict[str, Any]:
    """As many series as make several chunks."""
    raw = small_scenario()
    regions = [f"region-{i}" for i in range(2 * CHUNK + 1)]
    raw["traffic"]["series"][0]["regions"] = {name: 1.0 / len(regions) for name in regions}
    raw["plan"]["may_serve"] = {name: ["us-east"] for name in regions}
    return raw


@pytest.mark.slow
def test_a_plan_on_dask_is_the_plan_made_here_byte_for_byte(
    write_scenario: Callable[[dict[str, Any]], Path], fleetcast: Run, cluster: str
) -> None:
    raw = many_series()
    plans = []
    for where in ({"on": "here"}, {"on": "dask", "workers": 2}, {"on": "dask", "scheduler": cluster}):
        done = fleetcast("plan", "--config", str(write_scenario(raw | {"compute": where})), "--json")
        assert done.returncode == 0, done.stderr
        plans.append(done.stdout)
        assert "was lost" not in done.stderr
        assert "distributed" not in done.stderr, "a cluster that comes and goes is no news"
        assert json.loads(done.stdout)["purchases"]
    assert plans[0] == plans[1] == plans[2]
    assert done_by(cluster) >= 3, "the chunks of series were prepared on the cluster's workers"


@pytest.mark.slow
def test_a_forecast_on_dask_is_the_forecast_made_here_byte_for_byte(
    write_scenario: Callable[[dict[str, Any]], Path], fleetcast: Run, cluster: str, tmp_path: Path
) -> None:
    told = []
    for where in ({"on": "here"}, {"on": "dask", "scheduler": cluster}):
        kept = tmp_path / where["on"]
        file = write_scenario(many_series() | {"compute": where})
        done = fleetcast("forecast", "--config", str(file), "--keep", str(kept), "--json")
        assert done.returncode == 0, done.stderr
        assert "was lost" not in done.stderr
        (vintage,) = kept.iterdir()
        told.append((done.stdout, vintage.name, vintage.read_bytes()))
    assert told[0] == told[1]
    assert done_by(cluster) >= 3, "the chunks of series were prepared on the cluster's workers"


@pytest.mark.slow
def test_a_plan_on_two_devices_is_the_plan_on_one(
    write_scenario: Callable[[dict[str, Any]], Path], fleetcast: Run, environment: dict[str, str]
) -> None:
    plans = []
    for count in (1, 2):
        environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
        done = fleetcast("plan", "--config", str(write_scenario(small_scenario())), "--json")
        assert done.returncode == 0, done.stderr
        plans.append(done.stdout)
    assert plans[0] == plans[1]


def done_by(address: str) -> int:
    """Tasks that the workers of a cluster have computed."""
    from distributed import Client

    with Client(address, timeout=10) as client:
        counts = client.run(lambda dask_worker: dask_worker.state.executed_count)
    return int(sum(counts.values()))
