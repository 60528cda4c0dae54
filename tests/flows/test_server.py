"""A real Prefect server: what is deployed, what is refused on submission, and what drift sets off."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import REPOSITORY
from tests.flows.conftest import Run
from tests.flows.small import small_scenario

pytestmark = pytest.mark.slow
Server = Callable[..., Any]


@pytest.fixture
def server(tmp_path: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Calls of the API of a server with this checkout's deployments; `environment` leads to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment |= {
        "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "FLEETCAST_CHECKOUT": str(tmp_path), "FLEETCAST_LEDGER": f"sqlite:///{tmp_path}/ledger.sqlite",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
    }  # fmt: skip

    def prefect(*words: str) -> list[str]:
        return [sys.executable, "-m", "prefect", *words]

    def call(path: str, given: dict[str, Any] | None = None) -> httpx.Response:
        return httpx.post(f"{environment['PREFECT_API_URL']}{path}", json=given or {}, timeout=60)

    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            prefect("server", "start", "--port", str(port)), env=environment, cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            wait_for(lambda: answers(f"{environment['PREFECT_API_URL']}/health"))
            for words in ("work-pool create fleetcast --type process", "--no-prompt deploy --all"):
                command = prefect(*words.split())
                done = subprocess.run(
                    command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr
            yield call
        finally:
            process.terminate()
            process.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def wait_for(found: Callable[[], Any], seconds: float = 240.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(1.0)
    return value


def test_deployments_refusals_artifacts_events_and_the_automation(
    server: Server, write_scenario: Callable[[dict[str, Any]], Path], fleetcast: Run, environment: dict[str, str]
) -> None:
    deployed = {one["name"]: one for one in server("/deployments/filter").json()}
    assert set(deployed) == {"monthly", "weekly", "what-if", "what-ifs"}
    assert all(one["global_concurrency_limit"]["limit"] == 1 for one in deployed.values())
    what_if = f"/deployments/{deployed['what-if']['id']}/create_flow_run"
    good = json.loads(json.dumps(small_scenario(), default=str))
    for bad in (good | {"sed": 1}, good | {"seed": "many"}, {"name": "empty"}):
        refused = server(what_if, {"parameters": {"scenario": bad}})
        assert refused.status_code == 409, refused.text
    assert "'sed' was unexpected" in server(what_if, {"parameters": {"scenario": good | {"sed": 1}}}).text
    assert server(what_if, {"parameters": {"scenario": good}}).status_code == 201

    # The scenario that prefect.yaml's trigger matches, planned, and production well below what was said.
    scenario = write_scenario(good | {"name": "default"})
    planned = fleetcast("plan", "--config", str(scenario), "--json")
    assert planned.returncode == 0, planned.stderr
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from flows.ledger import open_ledger\n"
        "from data.ledger import read\n"
        "from flows.service import reconcile_weekly\n"
        "(key, (one, *_), _), *_ = read.said_and_done(open_ledger(), 'default')\n"
        "rows = ['ts,llm,request_class,region,requests']\n"
        "for hour, said in enumerate(one.hourly[:240, one.levels.index(0.5)]):\n"
        "    stamp = one.first_hour + np.timedelta64(hour, 'h')\n"
        "    rows.append(f'{stamp}:00Z,{key.llm},{key.request_class},{key.region},{0.6 * said:.3f}')\n"
        "Path('actuals.csv').write_text('\\n'.join(rows))\n"
        "print(reconcile_weekly('actuals.csv', 'default'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=scenario.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    keys = {one["key"] for one in server("/artifacts/filter", {"limit": 200}).json()}
    assert {"default-drift", "default-capacity", "default-corrections", "default-reconciliation"} <= keys
    asked = {"filter": {"event": {"name": ["fleetcast.production.drift"]}}}
    (event,) = wait_for(lambda: server("/events/filter", asked).json()["events"])
    assert event["resource"]["prefect.resource.id"] == "fleetcast.scenario.default"
    assert event["payload"]["series"]
    monthly = {"deployments": {"id": {"any_": [deployed["monthly"]["id"]]}}, "limit": 100}
    runs = wait_for(lambda: [one for one in server("/flow_runs/filter", monthly).json() if not one["auto_scheduled"]])
    assert runs[0]["parameters"] == {"config": "default"}, json.dumps(runs[0])
