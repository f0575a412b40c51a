"""The way to a pool and back: the blocks of the page, run between real brokers."""

from __future__ import annotations

import pytest

from tests.support.celery.worker import eventually
from tests.support.docs.applications import ADDING, RESULTS, application
from tests.support.docs.terminal import QUICK
from tests.support.servers import rabbitmq

PAGE = "docs/migrating.md"
SEND = "[tasks.add.delay([n]) for n in range(30)]; tasks.add.apply_async(([1],), countdown=3600)"
#: Uses the lock of each companion, and prints what became of a second task.
LOCKED = """
from celery_once import AlreadyQueued, QueueOnce
from celery_singleton import Singleton


@app.task(base=QueueOnce, once={"keys": []})
def once(): ...


@app.task(base=Singleton)
def single(): ...


def again(task):
    try:
        return task.delay().id
    except AlreadyQueued:
        return "refused"


if __name__ == "__main__":
    print(again(once) != "refused", again(once), again(single) == again(single))
"""
SCHEDULE = "app.conf.beat_schedule = {'often': {'task': 'tasks.add', 'schedule': 1.0, 'args': ([1],)}}\n"


@pytest.fixture
def old(redis):
    return f"redis://{redis.address}/1"


@pytest.fixture
def new(redis):
    return f"pool+redis://{redis.address}/0"


@pytest.mark.celery
@pytest.mark.recipe(PAGE, "$ celery -A tasks pool transfer celery --to redis://cache:6379/1")
def test_what_waits_comes_back_and_is_worked_off_there(recipe, redis_terminal, old, new):
    (transfer,) = recipe
    redis_terminal.create("tasks.py", application(broker=new, backend=RESULTS))
    redis_terminal.run(f'python -c "import tasks; {SEND}"')

    redis_terminal.console(transfer)

    redis_terminal.create("tasks.py", application(broker=old, backend=RESULTS))
    redis_terminal.worker(f"celery -A tasks worker {QUICK}")
    eventually(lambda: redis_terminal.log().count("succeeded in") == 30, why=redis_terminal.log)
    # The worker of redis:// holds the delayed one until its eta.
    eventually(lambda: redis_terminal.log().count("received") >= 31, why=redis_terminal.log)
    assert "celery\tdefault\t0\t0\t0" in redis_terminal.run(f"celery -b {new} pool queues celery")


@pytest.mark.celery
@pytest.mark.recipe(PAGE, 'app.conf.broker_read_url = "redis://cache:6379/1"')
def test_an_application_consumes_from_the_old_broker_and_publishes_to_the_new_one(recipe, redis_terminal, old, new):
    (both,) = recipe
    retrying = "\n\n@app.task(bind=True)\ndef again(self):\n    raise self.retry(countdown=0, max_retries=5)\n"
    redis_terminal.create("tasks.py", application(broker=old, backend=RESULTS) + retrying)
    redis_terminal.run('python -c "import tasks; [tasks.add.delay([n]) for n in range(5)]; tasks.again.delay()"')
    redis_terminal.append(both, "tasks.py")

    redis_terminal.worker(f"celery -A tasks worker {QUICK}", ready=True)
    eventually(lambda: redis_terminal.log().count("succeeded in") == 5, why=redis_terminal.log)
    eventually(lambda: "Retry in 0s" in redis_terminal.log(), why=redis_terminal.log)
    redis_terminal.run('python -c "import tasks; [tasks.add.delay([n]) for n in range(3)]"')

    # Three tasks, and the retry of the old worker.
    assert "celery\tdefault\t4\t0\t0" in redis_terminal.run(f"celery -b {new} pool queues celery")
    assert redis_terminal.log().count("succeeded in") == 5


@pytest.mark.celery
@pytest.mark.skipif(rabbitmq.program() is None, reason="RabbitMQ is not installed")
def test_what_waits_on_rabbitmq_comes_along(terminal):
    new = f"pool+sqlite:///{terminal.folder}/broker.db"
    terminal.create("tasks.py", application(broker=new, backend=RESULTS))
    url = rabbitmq.shared_broker().url
    terminal.run(f'CELERY_BROKER_URL={url} python -c "import tasks; {SEND}"')

    terminal.run(f"celery -A tasks migrate {url} {new} --timeout 5 --ack-messages")

    assert "celery\tdefault\t30\t1\t0" in terminal.run("celery -A tasks pool queues celery")


@pytest.mark.celery
@pytest.mark.recipe(PAGE, 'app.conf.redbeat_redis_url = "redis://cache:6379/2"')
def test_companions_keep_a_redis_of_their_own(recipe, redis_terminal, terminal, new):
    for package in ("redbeat", "celery_once", "celery_singleton"):
        pytest.importorskip(package)
    (settings,) = recipe
    broker = f"pool+sqlite:///{redis_terminal.folder}/broker.db"
    start = f"from celery import Celery\napp = Celery('tasks', broker={broker!r})\n"
    redis_terminal.create("tasks.py", start + redis_terminal.substitute(settings.text) + SCHEDULE + ADDING + LOCKED)

    assert redis_terminal.run("python tasks.py").split() == ["True", "refused", "True"]
    redis_terminal.worker("celery -A tasks beat --scheduler redbeat.RedBeatScheduler --loglevel INFO")

    def sent():
        return redis_terminal.run("celery -A tasks pool tasks tasks.add").count("tasks.add")

    eventually(lambda: sent() >= 2, why=redis_terminal.log)
