"""Which requests the page lets in."""

from __future__ import annotations

import base64
import re

import anyio
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from kombu_pool.cli import main
from kombu_pool.errors import ConfigurationError
from kombu_pool.web import create_app
from kombu_pool.web.audit import MAX_REFUSED, MAX_SHOWN
from kombu_pool.web.requests import FORM_FIELD, MAX_BODY
from kombu_pool.web.sessions import SESSION_TTL, Sessions
from tests.support.web.addresses import LOOPBACK, TOKEN


def basic(token: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'alice:{token}'.encode()).decode()}"}


def form_token(page: str) -> str:
    return re.search(r'name="form_token" value="(\w+)"', page)[1]


@pytest.mark.parametrize("path", ["/", "/queue?name=orders", "/metrics", "/api/overview", "/no-such-page"])
def test_no_path_is_open_without_the_token(browse, path):
    client = browse(token=TOKEN)

    for headers in ({}, basic("wrong token"), {"authorization": "Bearer wrong"}, {"cookie": "kombu_pool=1"}):
        answer = client.get(path, headers={"accept": "application/json", **headers})

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "value", ["Basic é".encode(), "Basic é".encode("latin-1"), b"Basic /w==", b"Basic !", b"Bearer \xff", b"Basic", b""]
)
def test_a_header_that_is_no_credentials_is_refused(browse, value):
    answer = browse(token=TOKEN).get("/api/overview", headers={"accept": "application/json", "authorization": value})

    assert answer.status_code == 401


@pytest.mark.parametrize("headers", [basic(TOKEN), {"authorization": f"Bearer {TOKEN}"}])
def test_the_token_lets_in_from_any_machine_under_any_name(browse, headers):
    client = browse(token=TOKEN, base_url="http://pool.example", client="203.0.113.7")

    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/healthz").json()["control_store"] == {"answers": True}


def test_a_browser_logs_in_once_and_is_led_back(browse):
    client = browse(token=TOKEN)

    asked = client.get("/?q=a")
    wrong = client.post("/login", data={"token": "wrong", "next": "/?q=a"})
    right = client.post("/login", data={"token": TOKEN, "next": "/?q=a"})

    assert asked.headers["location"] == "/login?next=%2F%3Fq%3Da"
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    assert right.headers["location"] == "/?q=a"
    assert {"HttpOnly", "SameSite=Strict"} <= set(right.headers["set-cookie"].split("; "))
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("wanted", ["//evil.example/", "https://evil.example/", "/\\evil.example", "/a\nb"])
def test_a_login_leads_to_no_other_site(browse, wanted):
    answer = browse(token=TOKEN).post("/login", data={"token": TOKEN, "next": wanted})

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    ("base_url", "address"),
    [("http://evil.example", "127.0.0.1"), (LOOPBACK, "203.0.113.7"), ("http://127.0.0.1.evil.example", "127.0.0.1")],
)
def test_without_a_token_only_this_machine_asks_under_its_own_name(browse, base_url, address):
    assert browse(base_url=base_url, client=address).get("/").status_code == 403


@pytest.mark.parametrize("base_url", ["http://localhost:80", "http://127.0.0.1", "http://[::1]:8000"])
def test_without_a_token_this_machine_is_let_in(browse, base_url):
    assert browse(base_url=base_url).get("/").status_code == 200


def test_an_allowed_host_is_let_in_without_a_token(browse):
    client = browse(base_url="http://pool.example", client="203.0.113.7", allowed_hosts=["Pool.example"])

    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"}]
)
def test_a_form_of_another_site_is_refused(browse, headers):
    client = browse()
    data = {"form_token": form_token(client.get("/queue?name=orders").text), "name": "orders"}

    refused = client.post("/logout", data=data, headers=headers)
    taken = client.post("/logout", data=data, headers={"origin": LOOPBACK})

    assert refused.status_code == 403
    assert taken.status_code == 303


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_a_form_needs_the_token_of_its_session(browse, content_type):
    client, other = browse(), browse()
    foreign = form_token(other.get("/queue?name=orders").text)

    client.get("/queue?name=orders")
    for body in ("", "form_token=", f"form_token={foreign}", "form_token=%FF"):
        assert client.post("/logout", content=body, headers={"content-type": content_type}).status_code == 403


def test_a_program_with_the_token_needs_no_form_token(browse):
    client = browse(token=TOKEN)

    assert client.post("/logout", headers=basic(TOKEN)).status_code == 303


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_page_that_is_read_only_takes_no_action(browse, method):
    client = browse(read_only=True, token=TOKEN)

    answer = client.request(method, "/queue/purge", headers={**basic(TOKEN), "content-type": "application/json"})

    assert answer.status_code == 403
    assert "--read-only" in answer.text


def test_a_long_body_is_refused(browse):
    assert browse().post("/logout", content=b"a" * (MAX_BODY + 1)).status_code == 413


def test_a_session_ends(browse):
    now = [1000.0]
    sessions = Sessions(TOKEN, lambda: now[0])
    cookie = sessions.create()
    header = f"{sessions.name}={cookie}"

    assert sessions.find(header) == cookie
    assert Sessions("another correct horse", lambda: now[0]).find(header) is None
    assert sessions.find(f"{sessions.name}=9{cookie}") is None
    now[0] += SESSION_TTL
    assert sessions.find(header) is None


def test_a_short_token_is_refused(broker):
    with pytest.raises(ConfigurationError, match="16 characters or more, not 6"):
        create_app(broker, token="secret")


def test_another_address_than_this_machines_needs_a_token(broker):
    url = f"pool+{broker.store.control.uri}"

    done = CliRunner().invoke(main, ["-b", url, "web", "--host", "0.0.0.0"])  # noqa: S104 - what is refused

    assert done.exit_code == 1
    assert "needs a token" in done.output


def test_a_part_of_a_form_is_not_acted_on(broker, browse):
    app = browse(token=TOKEN).app
    messages = iter([
        {"type": "http.request", "body": b"name=default&weight=1", "more_body": True}, {"type": "http.disconnect"},
    ])  # fmt: skip
    headers = {"host": "127.0.0.1", **basic(TOKEN), "content-type": "application/x-www-form-urlencoded"}
    scope = {
        "type": "http", "method": "POST", "path": "/pools/weight", "query_string": b"", "client": ("127.0.0.1", 1),
        "scheme": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    sent = []

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    before = broker.store.catalog.rows()[0]["weight"]
    anyio.run(app, scope, receive, send)

    assert sent[0]["status"] == 400
    assert broker.store.catalog.rows()[0]["weight"] == before != 1


def test_a_form_without_the_token_leads_to_a_page_that_can_be_loaded(browse):
    answer = browse(token=TOKEN).post("/queue/purge?a=1", headers={"accept": "text/html"})

    assert answer.headers["location"] == "/login?next=%2F"


@pytest.mark.parametrize("root", ["", "/ops/pool"])
def test_no_action_of_a_page_is_taken_read_only(broker, browse, root):
    app = browse(read_only=True).app
    outer = Starlette(routes=[Mount(root, app)]) if root else app
    client = TestClient(outer, LOOPBACK, client=("127.0.0.1", 1), follow_redirects=False)
    client.get(f"{root}/queue?name=orders")
    paths = {route.path for route in app.routes if "POST" in (getattr(route, "methods", None) or ())}

    refused = {
        path: client.post(f"{root}{path}", json={}).status_code for path in paths if path not in ("/login", "/logout")
    }

    assert len(refused) > 8
    assert set(refused.values()) == {403}


def test_wrong_tokens_leave_the_actions_of_others_on_the_page(browse):
    client = browse(token=TOKEN)
    client.post("/logout", headers=basic(TOKEN))

    for _ in range(3):
        client.post("/login", data={"token": "wrong"})

    page = client.get("/audit", headers=basic(TOKEN)).text
    assert page.count("refused: wrong token") == 1
    assert "basic:alice" in page


def test_actions_that_are_not_let_in_are_in_the_audit_log(broker, browse):
    client = browse(token=TOKEN)
    client.post("/queue/pause", data={"name": "orders"}, headers={**basic(TOKEN), "origin": "http://elsewhere"})
    client.post("/queue/purge", data={"name": "orders"}, headers=basic("wrong"))
    client.get("/tasks", headers=basic("wrong"))
    client.get("/tasks")
    client.post("/login", data={"token": TOKEN})
    client.post("/queue/delete", data={"name": "orders", FORM_FIELD: "wrong"})
    read_only = browse(token=TOKEN, read_only=True)
    read_only.post("/pools/weight", headers=basic(TOKEN))
    read_only.delete("/api/queues/%2F/orders", headers=basic(TOKEN))

    entries = [*reversed(client.app.state.site.audit.entries()), *reversed(read_only.app.state.site.audit.entries())]

    assert [(one.user, one.action, one.target, one.outcome.partition(":")[0]) for one in entries] == [
        ("", "POST", "/queue/pause", "refused"),
        ("", "POST", "/queue/purge", "refused"),
        ("", "GET", "/tasks", "refused"),
        ("session", "log in", "", "done"),
        ("session", "POST", "/queue/delete", "refused"),
        ("basic:alice", "POST", "/pools/weight", "refused"),
        ("basic:alice", "DELETE", "/api/queues///orders", "refused"),
    ]
    assert TOKEN not in str(entries)


def test_refused_actions_leave_those_of_others_on_the_page(browse):
    client = browse(token=TOKEN)
    client.post("/logout", headers=basic(TOKEN))

    for number in range(2 * MAX_SHOWN):
        client.app.state.site.audit.record("", "10.0.0.7", "POST", f"/{number}", "refused: The token is wrong.")

    entries = client.app.state.site.audit.entries()
    assert entries[-1].action == "log out"
    assert len(entries) == 1 + MAX_REFUSED


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/queue/pause", "POST"), ("PUT", "/login", "GET, HEAD, POST"), ("DELETE", "/tasks", "GET, HEAD"),
        ("DELETE", "/api/overview", "GET"),
    ],
)  # fmt: skip
def test_a_method_that_a_path_has_not_is_answered_with_those_that_it_has(browse, method, path, allowed):
    answer = browse(token=TOKEN).request(method, path, headers=basic(TOKEN))

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
