"""An action that was confirmed acts on what its question named, whatever has changed since."""

from __future__ import annotations

import pytest

from kombu_pool.model import RedriveResult
from kombu_pool.storage import DEAD_LETTER_QUEUE
from kombu_pool.web.pages import tasks
from tests.support.web.forms import forms
from tests.support.web.shop import post, task


def asked(client, path, button, given):
    """Return the form that confirms an action, and its page."""
    form = next(form for form in forms(client.get(path).text, path) if button in form.buttons)
    page = client.post(form.buttons[button], data={**form.fields, **given})
    return next(found for found in forms(page.text, str(page.url)) if "confirmed" in found.fields), page.text


def confirm(client, form):
    """Return what an action says that was done."""
    return client.get(client.post(form.action, data=form.fields).headers["location"]).text


def ids(broker, queue):
    page = next(broker.store.message_controller.list(queue, broker.project, echo=True, include_delayed=True))
    return sorted(message.get("key") for message in page)


def reject(broker, number):
    store, project = broker[:2]
    claim, messages = store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, project, number)
    store.message_controller.reject("orders", [(message["id"], claim) for message in messages], project)
    store.dead_letter_all()


@pytest.fixture
def dead(broker):
    """Two dead letters of ``orders`` in the queue ``dead``."""
    broker.store.queue_controller.create("dead", None, broker.project)
    broker.store.queue_controller.create("orders", {DEAD_LETTER_QUEUE: "dead"}, broker.project)
    broker.store.queue_controller.set_metadata("orders", {DEAD_LETTER_QUEUE: "dead"}, broker.project)
    post(broker, "orders", task("pay", "pay-1"), task("pay", "pay-2"))
    reject(broker, 2)


def test_a_task_that_comes_after_the_question_is_not_cancelled(broker, browse):
    post(broker, "orders", task("pay", "pay-1"), task("pay", "pay-2"))
    client = browse()

    form, question = asked(client, "/tasks?name=pay", "Cancel", {"scope": "all"})
    post(broker, "orders", task("pay", "pay-3"))

    assert "Cancel 2 tasks?" in question
    assert "Cancelled 2 tasks." in confirm(client, form)
    assert ids(broker, "orders") == ["pay-3"]


def test_a_question_says_that_it_names_only_the_first_tasks(broker, browse, monkeypatch):
    monkeypatch.setattr(tasks, "MAX_BATCH", 2)
    post(broker, "orders", *(task("pay", f"pay-{number}") for number in range(3)))

    _, question = asked(browse(), "/tasks?name=pay", "Cancel", {"scope": "all"})

    assert "Cancel 2 tasks?" in question
    assert "These are the first of 3" in question


@pytest.mark.parametrize(("button", "done"), [("Redrive", "Moved 2 to orders."), ("Delete", "Deleted 2 dead")])
def test_a_dead_letter_that_comes_after_the_question_stays(broker, browse, dead, button, done):
    client = browse()

    form, _ = asked(client, "/dead?name=dead&reason=rejected", button, {"scope": "all"})
    post(broker, "orders", task("pay", "pay-3"))
    reject(broker, 1)

    assert done in confirm(client, form)
    assert ids(broker, "dead") == ["pay-3"]


@pytest.mark.parametrize("button", ["Purge", "Delete the queue"])
def test_a_queue_that_was_declared_again_after_the_question_stays(broker, browse, button):
    client = browse()
    form, _ = asked(client, "/queue?name=orders", button, {})
    broker.store.queue_controller.delete("orders", broker.project)
    broker.store.queue_controller.create("orders", None, broker.project)
    post(broker, "orders", task("pay", "pay-1"))

    refused = client.post(form.action, data=form.fields)

    assert refused.status_code == 409
    assert "declared again" in refused.text
    assert ids(broker, "orders") == ["pay-1"]


def test_passwords_in_the_reasons_of_a_redrive_are_masked(broker, browse, dead, monkeypatch):
    client = browse()
    form, _ = asked(client, "/dead?name=dead", "Redrive", {"scope": "all"})
    error = ValueError("redis://app:s3cret@db/0 does not answer")
    monkeypatch.setattr(broker.store, "redrive", lambda *_, **__: RedriveResult(refusals={"orders": error}))

    assert "db/0 does not answer" in (said := confirm(client, form))
    assert "s3cret" not in said + client.get("/audit").text
