"""The page under another application, in a server of its own, as docs/web.md mounts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from kombu_pool.operator.broker import BrokerUrl, open_broker
from tests.support.limits import LIMIT
from tests.support.web.forms import forms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "settings"
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("of Django"))]
"""
ROUTES = """
from starlette.responses import PlainTextResponse
app.add_route("/", lambda request: PlainTextResponse("of the shop"))
"""


@contextmanager
def served(folder: Path, code: str, name: str) -> Iterator[httpx.Client]:
    """Serve an application; yield a browser of it. The server must end by itself."""
    (folder / "served.py").write_text(code.replace("/var/lib/shop", str(folder)))
    (folder / "settings.py").write_text(SETTINGS)
    with open_broker(BrokerUrl(f"pool+sqlite:///{folder}/control.db"), create=True) as broker:
        broker.store.queue_controller.create("orders", None, broker.project)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings"}
    command = [sys.executable, "-m", "uvicorn", f"served:{name}", "--port", "0", "--timeout-graceful-shutdown", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, cwd=folder, text=True) as process:
        try:
            lines = iter(process.stderr.readline, "")
            address = next(found[0] for line in lines if (found := re.search(r"http://[\d.]+:\d+", line)))
            with httpx.Client(base_url=address, headers={"accept": "text/html"}, timeout=LIMIT) as client:
                yield client
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT)


def use(client: httpx.Client, token: str) -> None:
    """Log in, look at a page, pause a queue, and follow the stream of a page."""
    login = client.get("/pool/", follow_redirects=True)
    (form,) = forms(login.text, "/pool/login")
    page = client.post(form.action, data={**form.fields, "token": token}, follow_redirects=True)
    links = re.findall(r'(?:href|action|src|data-events)="([^"#]+)"', page.text)
    queue = client.get("/pool/queue?name=orders")
    pause = next(form for form in forms(queue.text, "/pool/queue") if "Pause" in form.buttons)
    said = client.post(pause.buttons["Pause"], data=pause.fields, follow_redirects=True)

    assert str(login.url).endswith("/pool/login?next=%2F")
    assert "orders" in page.text
    assert [link for link in links if not link.startswith("/pool/")] == []
    assert {client.get(link).status_code for link in links if "/static/" in link or link.endswith("/tasks")} == {200}
    assert "Paused orders." in said.text
    with client.stream("GET", "/pool/events/queue?name=orders") as stream:
        assert "paused" in "".join(line for line, _ in zip(stream.iter_lines(), range(20), strict=False))
    assert client.get("/pool/nowhere").status_code == 404
    assert client.get("/pool/api/overview").json()["product_name"]


TOKEN = "a token of 16 characters or more"


@pytest.mark.recipe("docs/web.md", "from contextlib import asynccontextmanager")
def test_the_page_is_mounted_under_starlette(recipe, tmp_path):
    with served(tmp_path, recipe[0].text + ROUTES, "app") as client:
        use(client, TOKEN)

        assert client.get("/").text == "of the shop"


@pytest.mark.recipe("docs/web.md", "from contextlib import asynccontextmanager", "app = FastAPI(lifespan=lifespan)")
def test_the_page_is_mounted_under_fastapi(recipe, tmp_path):
    starlette, fastapi = recipe
    above, _, _ = starlette.text.partition("app = Starlette(")

    with served(tmp_path, f"from fastapi import FastAPI\n{above}{fastapi.text}{ROUTES}", "app") as client:
        use(client, TOKEN)

        assert client.get("/").text == "of the shop"
        assert client.get("/openapi.json").json()["paths"] == {}


@pytest.mark.recipe("docs/web.md", "from django.core.asgi import get_asgi_application")
def test_the_page_is_mounted_under_django(recipe, tmp_path):
    with served(tmp_path, recipe[0].text, "application") as client:
        use(client, TOKEN)

        assert client.get("/").text == "of Django"
