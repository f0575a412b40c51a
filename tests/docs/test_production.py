"""The units, the compose file and the manifests of the examples: read by their own programs, and their commands run."""

from __future__ import annotations

import configparser
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import pytest
import yaml

from tests.support.celery.worker import eventually
from tests.support.docs.applications import application
from tests.support.docs.pages import ROOT
from tests.support.docs.terminal import Terminal
from tests.support.servers.ports import free_port

FOLDER = ROOT / "examples" / "production"
UNITS = sorted((FOLDER / "systemd").glob("*.service")) + sorted((FOLDER / "systemd").glob("*.timer"))
SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
MANIFESTS = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
DEPLOYMENTS = {found["metadata"]["name"]: found for found in MANIFESTS if found["kind"] == "Deployment"}
#: Publishes or consumes as a user with the group and the umask of the units. Another broker loads all modules before.
AS_USER = """
import os, sys
import kombu_pool
from kombu import Connection
path, loading, user, action = sys.argv[1:]

def use(path, *actions):
    with Connection(f"pool+sqlite:///{path}") as connection:
        queue = connection.SimpleQueue("orders")
        for action in actions:
            queue.put("x") if action == "put" else queue.get(timeout=10).ack()

use(loading, "put", "get")
os.umask(0o007)
os.setgroups([])
os.setgid(60000), os.setuid(int(user))
use(path, action)
"""


def unit_of(path):
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string(path.read_text())
    return unit


def container_of(name):
    (container,) = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture
def terminal(tmp_path):
    """A shell with the application of the examples, its broker and the folder of its state here."""
    terminal = Terminal(
        tmp_path, {"/var/lib/shop": str(tmp_path), "/srv/shop/.venv/bin": str(Path(sys.executable).parent)}
    )
    terminal.create("tasks.py", application())
    yield terminal
    terminal.close()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path):
    (tmp_path / "bin").mkdir()
    for program in ("celery", "python"):
        (tmp_path / "bin" / program).symlink_to(sys.executable)
    for path in UNITS:
        text = (
            path.read_text().replace("/srv/shop/.venv/bin", str(tmp_path / "bin")).replace("/srv/shop", str(tmp_path))
        )
        (tmp_path / path.name).write_text(text)

    names = [str(tmp_path / path.name) for path in UNITS]
    said = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)

    ours = [line for line in said.stderr.splitlines() if "shop-" in line]
    assert len(UNITS) == 5
    assert ours == []


def test_the_units_of_both_users_share_a_group_a_umask_and_a_file():
    units = [unit_of(FOLDER / "systemd" / f"shop-{name}.service")["Service"] for name in ("worker", "web", "beat")]

    assert {unit["User"] for unit in units} == {"shop-worker", "shop-web"}
    assert {unit["Group"] for unit in units} == {"shop"}
    assert {unit["UMask"] for unit in units} == {"0007"}
    assert {unit["Environment"] for unit in units} == {"CELERY_BROKER_URL=pool+sqlite:////var/lib/shop/broker.db"}


@pytest.mark.parametrize("unit", ["worker", "beat"])
@pytest.mark.celery
def test_the_command_of_a_unit_starts(terminal, unit):
    service = unit_of(FOLDER / "systemd" / f"shop-{unit}.service")["Service"]
    command = terminal.substitute(f"env {service['Environment']} {service['ExecStart']}")

    terminal.worker(command)

    eventually(lambda: "ready." in terminal.log() or "beat: Starting" in terminal.log(), why=terminal.log)
    if unit == "beat":
        # Celery's own end of beat fails if it comes while the schedule is opened.
        process, _ = terminal._workers.pop()
        process.kill()
        process.wait()


@pytest.mark.recipe("docs/production.md", "[Unit]")
def test_the_unit_of_the_page_is_the_file(recipe):
    (block,) = recipe

    assert block.text == (FOLDER / "systemd" / "shop-worker.service").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes two users")
def test_two_users_of_a_group_share_a_file():
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        store = folder / "shop"
        store.mkdir()
        os.chown(store, 0, 60000)
        store.chmod(0o2770)
        steps = [("60001", "put"), ("60002", "get"), ("60002", "put"), ("60001", "get")]
        ended = [
            subprocess.run(
                [sys.executable, "-c", AS_USER, str(store / "broker.db"), str(folder / f"{number}.db"), *step],
                check=False,
                stderr=subprocess.PIPE,
            )
            for number, step in enumerate(steps)
        ]
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in store.iterdir()}

    assert [one.returncode for one in ended] == [0, 0, 0, 0], ended[0].stderr
    assert set(modes.values()) == {"0o660"}


def test_the_services_of_the_compose_file_share_the_volume_and_stop_by_sigterm():
    assert set(SERVICES) == {"web", "worker", "beat", "page"}
    for service in SERVICES.values():
        assert service["volumes"] == ["broker:/var/lib/shop"]
        assert isinstance(service["command"], list)
    assert SERVICES["worker"]["stop_grace_period"] == "10m"
    assert SERVICES["worker"]["stop_signal"] == "SIGTERM"


def words(command):
    return " ".join(f"'{word}'" for word in command)


@pytest.mark.celery
def test_the_worker_of_the_compose_file_is_healthy(terminal):
    worker = SERVICES["worker"]
    broker = terminal.substitute(worker["environment"]["CELERY_BROKER_URL"])
    terminal.worker(f"env CELERY_BROKER_URL={broker} {words(worker['command'])}", ready=True)

    kind, *check = worker["healthcheck"]["test"]

    assert kind == "CMD"
    assert "default" in terminal.run(f"CELERY_BROKER_URL={broker} {words(check)}")


def test_the_manifests_name_what_there_is():
    (secret,) = (found for found in MANIFESTS if found["kind"] == "Secret")
    (service,) = (found for found in MANIFESTS if found["kind"] == "Service")
    for name, deployment in DEPLOYMENTS.items():
        spec = deployment["spec"]
        assert deployment["apiVersion"] == "apps/v1"
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == {"app": name}
        for variable in container_of(name)["env"]:
            source = variable["valueFrom"]
            key = source.get("secretKeyRef")
            assert key is None or (key["name"], key["key"] in secret["stringData"]) == ("shop-broker", True)
    assert DEPLOYMENTS["shop-worker"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 600
    assert service["spec"]["selector"] == {"app": "shop-page"}
    assert service["spec"]["ports"][0]["targetPort"] == container_of("shop-page")["ports"][0]["name"]


@pytest.mark.celery
def test_the_worker_of_the_manifests_answers_its_probe(redis_terminal):
    terminal, container = redis_terminal, container_of("shop-worker")
    broker = f"pool+redis://{terminal.replaced['cache:6379']}/0"
    terminal.create("tasks.py", application())
    command = words(container["command"]).replace("$(POD)", "pod-1")
    terminal.worker(f"env CELERY_BROKER_URL={broker} POD=pod-1 {command}", ready=True)

    answer = terminal.run(f"CELERY_BROKER_URL={broker} POD=pod-1 {words(container['startupProbe']['exec']['command'])}")

    assert "worker@pod-1: OK" in answer


def test_the_page_of_the_manifests_is_ready(redis_terminal):
    terminal, container, port = redis_terminal, container_of("shop-page"), free_port()
    broker = f"pool+redis://{terminal.replaced['cache:6379']}/0"
    (token,) = (found["stringData"]["page-token"] for found in MANIFESTS if found["kind"] == "Secret")
    terminal.create("tasks.py", application())
    terminal.run(f'CELERY_BROKER_URL={broker} python -c "import tasks; tasks.add.delay([1])"')
    program, *options = container["command"]
    probe, log = container["readinessProbe"]["httpGet"], terminal.folder / "page.log"

    def status():
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}{probe['path']}", timeout=5) as answer:
            return answer.status
        return None

    options = [word.replace("15680", str(port)).replace("=0.0.0.0", "=localhost") for word in options]
    variables = {"CELERY_BROKER_URL": broker, "KOMBU_POOL_WEB_TOKEN": token}
    assert len(token) >= 16
    with log.open("wb") as output, subprocess.Popen(
        [sys.executable, "-m", program, *options], cwd=terminal.folder, env=os.environ | variables, stdout=output,
        stderr=output,
    ) as page:  # fmt: skip
        try:
            eventually(lambda: status() == 200, why=log.read_text)
        finally:
            page.terminate()


PUBLISH = "import tasks, sys; [tasks.add.delay([n]) for n in range(50)]; print('sent', flush=True); sys.stdin.read()"


@pytest.fixture
def filled(terminal):
    """A broker with 50 messages, and a process that has it open."""
    broker = f"pool+sqlite:///{terminal.folder}/broker.db"
    terminal.create("tasks.py", application(broker=broker))
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISH], cwd=terminal.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "sent\n"
        yield terminal.folder / "broker.db"
        process.stdin.close()


def messages_in(path):
    with closing(sqlite3.connect(path)) as copy:
        try:
            return copy.execute("SELECT count(*) FROM message").fetchone()[0]
        except sqlite3.DatabaseError:
            return 0


def test_cp_loses_what_the_log_of_the_file_has_and_a_backup_loses_nothing(filled, terminal):
    copied, backup = terminal.folder / "cp.db", terminal.folder / "backup.db"
    shutil.copy(filled, copied)

    said = terminal.run(f"python {FOLDER / 'backup.py'} {filled} {backup}")

    assert messages_in(backup) == 50
    assert said == f"{backup}: 50 messages\n"
    assert messages_in(copied) == 0


def test_a_restored_backup_has_the_identity_of_the_original_and_its_messages(filled, terminal):
    backup = terminal.folder / "backup.db"
    terminal.run(f"python {FOLDER / 'backup.py'} {filled} {backup}")
    restored = terminal.folder / "restored"
    restored.mkdir()
    shutil.copy(backup, restored / "broker.db")

    listed = terminal.run(f"python -m kombu_pool -b pool+sqlite:///{restored}/broker.db queues celery")

    assert "celery\tdefault\t50\t0\t0" in listed
    with closing(sqlite3.connect(filled)) as one, closing(sqlite3.connect(restored / "broker.db")) as other:
        assert [store.execute("SELECT identity FROM store").fetchall() for store in (one,)] == [
            store.execute("SELECT identity FROM store").fetchall() for store in (other,)
        ]
