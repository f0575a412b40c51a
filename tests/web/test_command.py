"""``celery pool web``, and ``python -m kombu_pool web``."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
import pytest
from celery import Celery
from celery.bin.celery import celery
from click.testing import CliRunner

from kombu_pool.cli import main
from tests.support.limits import LIMIT
from tests.support.web.addresses import TOKEN
from tests.support.web.site import serving


@pytest.fixture
def url(broker) -> str:
    return f"pool+{broker.store.control.uri}"


def test_the_page_is_served_behind_a_proxy_with_a_token(url, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    with serving(url, "--token-file", str(tmp_path / "token"), "--root-path", "pool/") as address:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/html", "Host": "ops.example"}
        page = httpx.get(address, headers=headers, timeout=LIMIT).text

    assert 'href="/pool/queue?name=orders"' in page


@pytest.mark.parametrize("content", ["", "short"])
def test_a_file_without_a_token_is_refused(url, tmp_path, content):
    (tmp_path / "token").write_text(content)

    done = CliRunner().invoke(main, ["-b", url, "web", "--token-file", str(tmp_path / "token")])

    assert done.exit_code == 1
    assert "has no token" in done.output or "16 characters or more" in done.output


def test_a_port_that_is_in_use_is_told(url):
    with socket.create_server(("127.0.0.1", 0)) as used:
        done = CliRunner().invoke(main, ["-b", url, "web", "--port", str(used.getsockname()[1])])

    assert done.exit_code == 1
    assert "Cannot listen on 127.0.0.1 port" in done.output


def test_an_application_of_celery_has_the_command(tmp_path):
    app = Celery("shop", broker=f"pool+sqlite:///{tmp_path}/none.db", set_as_current=False)

    done = CliRunner().invoke(celery, ["pool", "web"], default_map={"app": app})

    assert done.exit_code == 1
    assert "does not exist" in done.output


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "jinja2"])
def test_a_missing_package_is_named_with_its_extra(url, package):
    program = f"import sys; sys.modules[{package!r}] = None\nfrom kombu_pool.cli import main\nmain()"
    command = [sys.executable, "-c", program, "-b", url, "web"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)

    assert done.returncode == 1
    assert f"needs the package {package!r}" in done.stderr
    assert "pip install 'kombu-pool[web]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_the_server_at_once(url):
    with ExitStack() as stack, serving(url) as address:
        stream = stack.enter_context(httpx.stream("GET", f"{address}events/queues", timeout=LIMIT))
        next(stream.iter_lines())
        assert httpx.get(f"{address}healthz", timeout=LIMIT).status_code == 200
        begun = time.monotonic()

    assert time.monotonic() - begun < LIMIT / 4


def test_the_management_api_is_beside_the_pages(url):
    with serving(url) as address:
        queues = httpx.get(f"{address}api/queues", timeout=LIMIT).json()

    assert [queue["name"] for queue in queues] == ["orders"]
