from __future__ import annotations

import pytest

from kombu_pool.drivers.sqlite.statements import statements

#: The statements that run for every message, or as part of such an operation.
HOT = [
    *(("messages", name) for name in ("target", "one", "first", "last", "free_page", "delayed_page", "lower_expiry")),
    *(("deletion", name) for name in statements("deletion") if name != "last_id"),
    *((subject, name) for subject in ("claims", "claiming", "states") for name in statements(subject)),
    *(("dead_letters", name) for name in statements("dead_letters") if name != "queues_with_dead"),
    *((subject, name) for subject in ("limits", "watch", "moving") for name in statements(subject)),
    *(("collector", name) for name in ("deleted", "free", "remove_free_up_to", "delayed", "claims", "claimed")),
    *(("collector", "expiring"), ("collector", "message"), ("queues", "find"), ("bindings", "generation")),
    *(("catalogue", name) for name in statements("catalogue") if name != "drop_all"),
    *(("consumers", name) for name in ("expired", "is_expired", "renew", "live", "count", "refresh")),
]


@pytest.mark.parametrize(("subject", "name"), HOT)
def test_no_statement_of_a_messages_life_scans_a_table(driver, subject, name):
    with driver._database.read, driver._database.lock, driver._database.begin_read() as connection:
        statement = statements(subject)[name]
        values = {"queue": 1, "rank": 0, "id": 0, "wall": 0, "elapsed": 0, "client": None, "limit": 1}
        try:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
        except Exception:  # noqa: BLE001 - only the attempt shows whether its parameters are named
            count = max(statement.count("?"), 1)
            numbered = next((n for n in range(9, 0, -1) if f"?{n}" in statement), count)
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (0,) * numbered).fetchall()

    steps = [step for *_, step in plan]
    # A row is constant; the store has one; a list of ids is as long as the call makes it; a subquery has a limit; the
    # index of moves has no rows but those that are asked for.
    short = ("CONSTANT", "store", "json_each", "(subquery")
    scans = [step for step in steps if step.startswith("SCAN") and not step[5:].startswith(short)]
    scans = [step for step in scans if not step.endswith("INDEX catalogue_move")]
    sorts = [step for step in steps if "TEMP B-TREE FOR ORDER BY" in step]
    assert not scans
    assert not sorts or name in ("messages", "aside"), "only what one claim holds, or one batch, is sorted"
