"""A real Prefect server: what is deployed, what is refused on submission, and what drift sets off."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import service
from tests.conftest import REPOSITORY
from tests.docs.test_docs import DOCS
from tests.flows.conftest import Run
from tests.flows.small import small_scenario

pytestmark = pytest.mark.slow
Server = Callable[..., Any]
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
PAGE = (DOCS / "operate.md").read_text(encoding="utf-8")


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

    def call(path: str, given: dict[str, Any] | None = None) -> httpx.Response:
        return httpx.post(f"{environment['PREFECT_API_URL']}{path}", json=given or {}, timeout=60)

    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            prefect("server", "start", "--port", str(port)), env=environment, cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            wait_for(lambda: answers(f"{environment['PREFECT_API_URL']}/health"))
            for words in ("work-pool create fleetcast --type process", "--no-prompt deploy --all"):
                assert f"prefect {words}\n" in PAGE
                run(prefect(*words.split()), environment, REPOSITORY)
            yield call
        finally:
            process.terminate()
            process.wait(timeout=240)


def prefect(*words: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *words]


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    """What a command says that must succeed."""
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def stop(worker: subprocess.Popen[bytes]) -> None:
    """Asked politely, a worker waits for what it has running; killed where that takes a minute."""
    worker.terminate()
    try:
        worker.wait(timeout=60)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait(timeout=60)


def a_worker_plans_a_what_if(server: Server, tmp_path: Path, environment: dict[str, str]) -> None:
    """The page's worker and its call of the what-if deployment, to the end."""
    assert "prefect worker start --pool fleetcast\n" in PAGE
    start, asked = re.search(
        r"^ {4}prefect (deployment run fleetcast-what-if/what-if) --params '(.+)'$", PAGE, re.M
    ).groups()
    scenario = json.dumps(json.loads(json.dumps(small_scenario(), default=str)))
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            prefect("worker", "start", "--pool", "fleetcast"), env=environment, cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            run(prefect(*start.split(), "--params", asked.replace("{...}", scenario)), environment, tmp_path)
            (one,) = wait_for(lambda: [r for r in runs_of(server, "what-if") if r["state_type"] in ENDED])
        finally:
            stop(worker)
    assert one["state_type"] == "COMPLETED", (one["state"], (tmp_path / "worker.log").read_text())
    keys = {each["key"] for each in server("/artifacts/filter", {"limit": 200}).json()}
    assert {"small-cost", "small-purchases", "small-report", "small-changes"} <= {
        key.removeprefix("what-if-") for key in keys
    }, keys
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "report.html").is_file()


def an_alert_listens(server: Server, tmp_path: Path, environment: dict[str, str]) -> None:
    """The page's automation is accepted, and listens to every event that there is."""
    text = textwrap.dedent(re.search(r"^ {4}name: fleetcast-alerts\n(?: {4}.+\n)+", PAGE, re.M)[0])
    (tmp_path / "alerts.yaml").write_text(text, encoding="utf-8")
    run(prefect("automation", "create", "--from-file", "alerts.yaml"), environment, tmp_path)
    (alert,) = [a for a in server("/automations/filter").json() if a["name"] == "fleetcast-alerts"]
    assert alert["enabled"]
    events = {f"fleetcast.{one}" for one in ("plan.shortfall", "production.shortfall", "production.drift")}
    assert set(alert["trigger"]["expect"]) == events == {service.PLAN_SHORT, service.PRODUCTION_SHORT, service.DRIFT}
    assert events == set(re.findall(r"^\| `(fleetcast\.\w+\.\w+)` \|", PAGE, re.M))


def runs_of(server: Server, deployment: str) -> list[dict[str, Any]]:
    """Runs of a deployment that were not scheduled by its calendar."""
    asked = {"deployments": {"name": {"any_": [deployment]}}, "limit": 100}
    return [one for one in server("/flow_runs/filter", asked).json() if not one["auto_scheduled"]]


def test_deployments_refusals_artifacts_events_and_the_automation(
    server: Server,
    tmp_path: Path,
    write_scenario: Callable[[dict[str, Any]], Path],
    fleetcast: Run,
    environment: dict[str, str],
) -> None:
    a_worker_plans_a_what_if(server, tmp_path, environment)
    an_alert_listens(server, tmp_path, environment)
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
