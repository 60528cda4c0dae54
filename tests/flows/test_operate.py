"""docs/operate.md, executed: a month on SQLite, the same ledger on PostgreSQL, backups of both.

Every command of the page is either run here as written, or stands in `ELSEWHERE` with the test that runs it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from configs.loading import embedded_scenarios, load_scenario
from tests.conftest import REPOSITORY
from tests.data.ledger.conftest import postgres_server
from tests.docs.test_docs import DOCS
from tests.flows.small import small_scenario

PAGE = (DOCS / "operate.md").read_text(encoding="utf-8")
PROGRAMS = "fleetcast|createdb|pip|prefect|pytest|python|sqlite3|pg_dump|psql|dask|export"
DATABASE = "postgresql://fleetcast@db/fleetcast"

MONTH = [
    "fleetcast plan --config scenario.yaml",
    "fleetcast trace",
    "fleetcast trace RUN",
    "fleetcast trace RUN --number purchases.0.usd_per_gpu_h",
    "fleetcast reconcile --actuals actuals.csv [--billing focus.csv] [--goodput goodput.csv] [--json]",
    "fleetcast review",
    "fleetcast review ID [ID ...] --accept --by NAME --note WHY",
    "fleetcast plan --config scenario.yaml",
    "fleetcast backtest --config scenario.yaml",
    'sqlite3 .fleetcast/ledger.sqlite ".backup backup.sqlite"',
    "fleetcast ledger",
]
"""A month and its backup, in this order."""
SERVER = [
    "createdb fleetcast",
    f"fleetcast ledger --copy-to {DATABASE}",
    f"export FLEETCAST_LEDGER={DATABASE}",
    "pg_dump fleetcast > backup.sql",
    "psql -f backup.sql restored",
]
COPY = "fleetcast ledger --copy-to sqlite:///backup.sqlite"
PREFECT = "tests/flows/test_server.py"
ELSEWHERE = {
    "prefect server start": PREFECT,
    "export PREFECT_API_URL=http://127.0.0.1:4200/api FLEETCAST_CHECKOUT=$PWD": PREFECT,
    "prefect work-pool create fleetcast --type process": PREFECT,
    "prefect --no-prompt deploy --all": PREFECT,
    "prefect worker start --pool fleetcast": PREFECT,
    "prefect deployment run fleetcast-what-if/what-if --params '{\"scenario\": {...}}'": PREFECT,
    "prefect automation create --from-file FILE": PREFECT,
    "pytest -m slow tests/flows/test_server.py": PREFECT,
    "dask scheduler": "tests/flows/test_spread.py",
    "dask worker": "tests/flows/test_spread.py",
    "pip install 'fleetcast[postgres]'": "pyproject.toml",
    "pip install 'fleetcast[dask]'": "pyproject.toml",
    "python -m benchmarks.scale": "benchmarks/scale.py",
    "python -m benchmarks.reconcile": "benchmarks/reconcile.py",
    "fleetcast plan": "tests/flows/test_spread.py",
    "fleetcast forecast": "tests/flows/test_spread.py",
    "python -m benchmarks.level_change --trace burstgpt_hourly.csv": "tests/truth/test_burstgpt_reconcile.py",
    "pytest -m truth tests/truth/test_burstgpt_reconcile.py": "tests/truth/test_burstgpt_reconcile.py",
}
"""Commands that this test does not run, and the file that runs them or that they are about."""


def page_commands() -> list[str]:
    """Every command line and every command in a sentence."""
    lines = [re.sub(r"\s+#.*$", "", one) for one in re.findall(rf"^ {{4,}}((?:{PROGRAMS}) .+)$", PAGE, re.M)]
    spans = [" ".join(one.split()) for one in re.findall(r"`([^`]+)`", PAGE)]
    return lines + [one for one in spans if re.match(rf"(?:{PROGRAMS}) ", one)]


def test_every_command_of_the_page_is_executed_somewhere() -> None:
    found = set(page_commands())
    assert found == {*MONTH, *SERVER, COPY, *ELSEWHERE}
    month = PAGE[PAGE.index("## The month") : PAGE.index("| file |")]
    assert [one for one in page_commands() if one in month and one in MONTH[4:9]][-5:] == MONTH[4:9], "in this order"
    for where in ELSEWHERE.values():
        assert (REPOSITORY / where).is_file()
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.findall(r"pip install 'fleetcast\[(\w+)\]'", PAGE)
    assert extras == ["postgres", "dask"]
    assert all(re.search(rf"^{extra} = \[", project, re.M) for extra in extras)


def test_what_the_page_says_of_compute_is_configuration(tmp_path: Path) -> None:
    found = re.findall(r"^ {4}(compute: \{.+?\})", PAGE, re.M)
    assert len(found) == 2
    default = embedded_scenarios()["default"].read_text(encoding="utf-8")
    for line in found:
        (tmp_path / "scenario.yaml").write_text(f"{default}\n{line}\n", encoding="utf-8")
        assert load_scenario(str(tmp_path / "scenario.yaml")).scenario.compute.on == "dask"


Shell = Callable[..., str]


@pytest.fixture
def shell(tmp_path: Path, environment: dict[str, str]) -> Shell:
    """Runs a line of the page as a shell does, `fleetcast` being this checkout's; what it said."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "fleetcast").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flows.cli "$@"\n', encoding="utf-8")
    (bin_ / "fleetcast").chmod(0o755)
    state = Path(environment["FLEETCAST_STATE"])
    environment |= {
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        # A ledger of its own; the compiled kernels and Prefect's home stay those of the session.
        "FLEETCAST_STATE": ".fleetcast",
        "JAX_COMPILATION_CACHE_DIR": str(state / "jax"),
        "PREFECT_HOME": str(state / "prefect"),
    }  # fmt: skip
    environment.pop("FLEETCAST_LEDGER", None)

    def run(line: str, code: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == code, f"{line}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        assert "━" not in done.stderr, "a pipe sees no progress"
        return done.stdout

    return run


def what_happened(folder: Path, plan: dict[str, Any]) -> None:
    """actuals.csv at a third of what was planned, a bill and a measured goodput, in the page's columns."""
    table = {row[0]: row[1] for row in re.findall(r"^\| `--(\w+)` \| (.+) \|$", PAGE, re.M)}
    series, pool = plan["forecast"][0]["series"], plan["pools"][0]["configuration"]
    hours = pd.date_range(pd.Timestamp(plan["history_until"]) + pd.Timedelta(hours=1), periods=240, freq="h")
    named = re.findall(r"`(\w+)`", table["actuals"])[:5]
    assert named == ["ts", "llm", "request_class", "region", "requests"]
    rows = [f"{ts.isoformat()},{series['llm']},{series['request_class']},{series['region']},20000" for ts in hours]
    (folder / "actuals.csv").write_text("\n".join([",".join(named), *rows]) + "\n", encoding="utf-8")
    focus = "ChargePeriodStart,ChargeCategory,EffectiveCost,BillingCurrency,ConsumedQuantity,ConsumedUnit"
    assert all(f"`{column}`" in table["billing"] for column in focus.split(","))
    bill = [f"{day:%Y-%m-%d}T00:00:00Z,Usage,300,USD,96,GPU-Hours" for day in hours[::24]]
    (folder / "focus.csv").write_text("\n".join([focus, *bill]) + "\n", encoding="utf-8")
    head = "llm,gpu,precision,tensor_parallel,request_class,measured_rps"
    assert all(f"`{column}`" in table["goodput"] for column in head.split(","))
    one = [pool["llm"], pool["gpu"], pool["precision"], pool["tensor_parallel"], series["request_class"], 15.0]
    (folder / "goodput.csv").write_text(f"{head}\n{','.join(map(str, one))}\n", encoding="utf-8")


@pytest.mark.slow
def test_a_month_as_the_page_has_it(
    shell: Shell, tmp_path: Path, write_scenario: Callable[[dict[str, Any]], Path], environment: dict[str, str]
) -> None:
    write_scenario(small_scenario())
    commands = iter(MONTH)
    shell(next(commands))
    (folder,) = (tmp_path / "runs").iterdir()
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert folder.name in shell(next(commands)).replace("\n", "")
    assert "scenario.yaml" in shell(next(commands).replace("RUN", folder.name))
    price = plan["purchases"][0]["usd_per_gpu_h"]
    assert f"{price:g}" in shell(next(commands).replace("RUN", folder.name))

    what_happened(tmp_path, plan)
    found = json.loads(shell(re.sub(r"[\[\]]", "", next(commands))))
    kinds = {one["kind"]: key for key, one in found["corrections"].items()}
    assert {"level", "goodput"} <= set(kinds), "of the kinds that the page lists"
    listed = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| \w", PAGE, re.M))))
    assert set(kinds) <= listed
    assert found["corrections"][kinds["level"]]["values"]["factor"] < 0.5
    assert kinds["level"][:8] in shell(next(commands))
    review = (
        next(commands)
        .replace(" [ID ...]", "")
        .replace("ID", kinds["level"][:8])
        .replace("NAME", "ada")
        .replace("WHY", "'seen it too'")
    )
    assert "accepted" in shell(review)
    again = shell(next(commands)).replace("\n", " ")
    assert f"correction {kinds['level']}" in again, "says what changed and why"
    walked = shell(next(commands))
    assert all(rule in walked for rule in ("fleetcast", "seasonal naive + 30 %", "flat peak", "clairvoyant"))

    assert shell("fleetcast reconcile --actuals nothing.csv", code=2) == ""
    shell(next(commands))
    environment["FLEETCAST_LEDGER"] = f"sqlite:///{tmp_path}/backup.sqlite"
    assert "4 runs, every content as its hash says" in shell(next(commands))
    assert next(commands, None) is None


@pytest.fixture
def postgres(environment: dict[str, str]) -> Iterator[str]:
    """A server without the page's databases, named to `createdb`, `pg_dump` and `psql` by libpq's own variables."""
    url = postgres_server()
    if not all(map(shutil.which, ("createdb", "pg_dump", "psql"))):
        pytest.skip("createdb, pg_dump and psql are not on the PATH")
    parts = urlsplit(url)
    environment |= {"PGHOST": parts.hostname or "", "PGPORT": str(parts.port or 5432), "PGUSER": parts.username or ""}
    if parts.password:
        environment["PGPASSWORD"] = parts.password
    admin = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), isolation_level="AUTOCOMMIT")

    def drop() -> None:
        with admin.connect() as connection:
            for name in ("fleetcast", "restored"):
                connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    drop()
    yield url.rsplit("/", 1)[0]
    drop()
    admin.dispose()


@pytest.mark.slow
def test_the_ledger_moves_to_a_server_and_back(
    shell: Shell, postgres: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    from data.ledger.connect import connect, sqlite_url
    from data.ledger.store import record
    from tests.data.ledger.samples import sample_run

    (tmp_path / ".fleetcast").mkdir()
    here = connect(sqlite_url(tmp_path / ".fleetcast" / "ledger.sqlite"))
    for number in range(3):
        record(here, sample_run(number))
    here.dispose()

    create, copy, export, dump, restore = SERVER
    shell(create)
    assert "rows copied and verified" in shell(copy.replace(DATABASE, f"{postgres}/fleetcast"))
    ((name, value),) = [one.split("=", 1) for one in shlex.split(export)[1:]]
    environment[name] = value.replace(DATABASE, f"{postgres}/fleetcast")
    assert "3 runs, every content as its hash says" in shell("fleetcast ledger")
    shell(dump)
    shell("createdb restored")
    shell(restore)
    environment[name] = f"{postgres}/restored"
    assert "3 runs, every content as its hash says" in shell(COPY)
    environment[name] = f"sqlite:///{tmp_path}/backup.sqlite"
    assert "3 runs, every content as its hash says" in shell("fleetcast ledger")
