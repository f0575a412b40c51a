from __future__ import annotations

import sqlite3

from kombu_pool import drivers

CLAIM = {"ttl": 60, "grace": 0, "holder": "machine:1:start"}


def test_many_claims_are_renewed_in_one_transaction(driver):
    driver.message_controller.post("q", [{"ttl": None, "body": number} for number in range(300)], None)
    claims = [(None, "q", driver.claim_controller.create("q", CLAIM, None, 1)[0]) for _ in range(300)]
    begun = []
    driver._database.connection.set_trace_callback(begun.append)

    assert driver.claim_controller.renew(claims, CLAIM) == []

    assert [statement for statement in begun if statement.startswith("BEGIN")] == ["BEGIN IMMEDIATE"]


def test_the_claims_of_a_killed_process_end_by_its_name(driver, uri, path):
    driver.message_controller.post("q", [{"ttl": None, "body": "a"}], None)
    driver.claim_controller.create("q", CLAIM, None, 1)
    driver.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT holder FROM claim").fetchall() == [(CLAIM["holder"],)]
    connection.close()

    other = drivers.open_data(uri)
    assert other.claim_controller.end_claims(CLAIM["holder"], [(None, "q")]) == 1
    assert other.message_controller.count("q") == 1
    other.close()


def test_a_watch_is_told_of_the_messages_that_a_dead_holder_leaves(driver):
    driver.message_controller.post("q", [{"ttl": None, "body": "a"}], None)
    driver.claim_controller.create("q", CLAIM, None, 1)
    watch = driver.watch([(None, "q")])
    watch.wait(0)

    driver.claim_controller.end_claims(CLAIM["holder"], [(None, "q")])

    assert watch.wait(30)
    watch.close()


def test_holders_are_found_by_the_beginning_of_their_names_only(uri):
    control = drivers.open_control(uri)
    consumers = control.consumers_controller
    for holder in ("a:1", "a:1\U0010fffe", "a:2", "a", "b:1", "a%", "A:1"):
        consumers.add_holder("q", holder, 60)
        consumers.add_holder("other", holder, 60)

    assert consumers.holders("a:") == ["a:1", "a:1\U0010fffe", "a:2"]
    control.close()
