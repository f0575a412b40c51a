"""The page answers Prometheus and kubelet."""

from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import httpx
from anyio import to_thread
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support.limits import LIMIT
from tests.support.web.addresses import LOOPBACK, TOKEN


def test_prometheus_reads_the_metrics_with_the_token(browse):
    client = browse(token=TOKEN)
    authorized = {"authorization": f"Bearer {TOKEN}"}

    answer = client.get("/metrics", headers=authorized)
    values = {sample.name: sample for family in parse(answer.text) for sample in family.samples}

    assert client.get("/metrics", headers={"accept": "*/*"}).status_code == 401
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert values["kombu_pool_up"].value == 1
    assert values["kombu_pool_queue_messages_ready"].labels == {"vhost": "/", "queue": "orders", "pool": "default"}
    client.app.state.site.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "kombu_pool sampler"]


def test_the_health_shows_reasons_only_where_no_token_is_needed(browse):
    shown, open_to_all = browse().get("/healthz"), browse(token=TOKEN).get("/healthz")

    assert shown.json()["pools"] == {"default": {"answers": True, "since": None, "reason": None}}
    assert open_to_all.json() == {"control_store": {"answers": True}, "pools": {"default": {"answers": True}}}
    assert (shown.status_code, open_to_all.status_code) == (200, 200)


def test_a_broker_that_does_not_answer_is_down(browse_of):
    client = browse_of("pool+redis://app:s3cret@127.0.0.1:1/0")

    assert client.get("/metrics").text.splitlines()[-1] == "kombu_pool_up 0.0"
    assert client.get("/healthz").status_code == 503
    assert "s3cret" not in client.get("/healthz").text


def test_the_health_is_told_while_all_threads_of_the_pages_wait(browse):
    app, is_over = browse().app, threading.Event()

    async def ask():
        limiter = to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        async with anyio.create_task_group() as group:
            group.start_soon(to_thread.run_sync, is_over.wait)
            while not limiter.borrowed_tokens:
                await anyio.lowlevel.checkpoint()
            try:
                with anyio.fail_after(LIMIT):
                    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=LOOPBACK) as client:
                        return await client.get("/healthz")
            finally:
                is_over.set()

    assert anyio.run(ask).status_code == 200
