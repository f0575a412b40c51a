"""Every code block of the documentation is run as it is written, or its reason not to be is named here.

Paths and addresses of the pages stand for folders and servers of the test: that, and no more, is substituted.
"""

from __future__ import annotations

import platform
import re
from contextlib import closing

import pytest

import kombu_pool
from tests.support.celery.worker import eventually
from tests.support.docs.applications import ADD, ADDING, EVERYTHING, RESULTS, application
from tests.support.docs.not_run import NOT_RUN
from tests.support.docs.pages import ROOT, SHOWN, Block, blocks
from tests.support.docs.recipes import marked
from tests.support.docs.terminal import QUICK, Terminal
from tests.support.limits import LIMIT
from tests.support.servers.certificates import certificates
from tests.support.servers.mongodb import fresh_uri as fresh_mongodb_uri
from tests.support.servers.redis_shared import shared_cluster

#: The blocks that a test takes, in order: the page, and the first line of each.
RECIPES = {
    "test_the_first_task_and_its_chord_give_their_results": (
        "README.md",
        "from celery import Celery  # tasks.py",
        "$ celery -A tasks worker &",
    ),
    "test_many_pools_serve_tasks_and_are_managed": (
        "README.md",
        "from celery import Celery  # tasks.py",
        'app.conf.broker_url = "pool+sqlite:////var/lib/shop/control.db"',
        "$ celery -A tasks pool ls",
    ),
    "test_plain_kombu_gets_what_it_sent": ("README.md", "import kombu_pool"),
    "test_a_program_without_kombu_claims_what_it_posted": ("docs/index.md", "import kombu_pool"),
    "test_pools_of_the_configuration_serve_tasks": (
        "docs/configuration.md",
        'broker_url = "pool+sqlite:////var/lib/shop/control.db"',
    ),
    "test_a_generated_configuration_file_serves_tasks_and_a_batch": (
        "docs/configuration.md",
        "$ oslo-config-generator --namespace kombu_pool --output-file kombu_pool.conf",
        "from kombu_pool.transport import gather",
    ),
    "test_the_commands_show_what_the_page_shows": (
        "docs/cli.md",
        "from celery import Celery  # shop.py",
        "$ celery -A shop pool queues",
        "$ celery -A shop pool queue orders",
        "$ python -m kombu_pool -b pool+sqlite:////var/lib/shop/control.db queues orders --json",
        "$ celery -A shop pool purge orders --task shop.remind --yes",
    ),
    "test_dead_letters_are_listed_and_redriven": (
        "docs/dead-letters.md",
        "from celery import Celery  # shop.py",
        "$ celery -A shop pool dead",
        "$ celery -A shop pool redrive dead --dry-run",
        "import kombu_pool",
    ),
    "test_a_redis_serves_tasks": ("docs/redis.md", "from celery import Celery  # tasks.py"),
    "test_every_kind_of_redis_url_is_understood": (
        "docs/redis.md",
        'broker_url = "pool+rediss://app:s3cret@redis.example.com:6380/0?ssl_ca_certs=/etc/ssl/redis-ca.pem"',
    ),
    "test_options_of_a_redis_pool_are_understood": ("docs/redis.md", "broker_transport_options = {"),
    "test_both_forms_of_an_address_map_are_understood": ("docs/redis.md", "broker_url = ("),
    "test_a_worker_and_a_producer_need_no_more_than_these_permissions": (
        "docs/redis.md",
        "ACL SETUSER app on >s3cret resetchannels ~kombu-pool:*",
    ),
    "test_a_cluster_needs_the_permissions_in_the_table_too": (
        "docs/redis.md",
        "ACL SETUSER app on >s3cret resetchannels ~kombu-pool:*",
    ),
    "test_a_mongodb_serves_tasks": ("docs/mongodb.md", "from celery import Celery  # tasks.py"),
    "test_a_mongodb_and_a_redis_are_pools_of_one_catalogue": ("docs/mongodb.md", "broker_transport_options = {"),
    "test_a_worker_that_consumes_no_more_is_stopped": (
        "docs/guarantees.md",
        "$ celery -A tasks control cancel_consumer celery -d worker@host",
    ),
}


@pytest.fixture
def recipe(request):
    """The blocks of this test, in order."""
    page, *firsts = RECIPES[request.function.__name__]
    known = blocks()
    return [known[page, first] for first in firsts]


@pytest.fixture
def mongodb_terminal(tmp_path, redis):
    """A terminal with a replica set and a Redis."""
    broker, results = fresh_mongodb_uri(), fresh_mongodb_uri()
    redis.ask("FLUSHALL")
    replaced = {
        "mongodb://db1,db2,db3/shop?replicaSet=rs0": broker,
        "mongodb://db1,db2,db3/results": results,
        "cache:6379": redis.address,
    }
    terminal = Terminal(tmp_path, replaced)
    yield terminal
    terminal.close()


@pytest.fixture
def certificate():
    return str(certificates().authority)


def test_every_block_is_run_or_has_a_reason_not_to_be():
    here = {(page, first) for page, *firsts in RECIPES.values() for first in firsts}
    taken = here | marked() | NOT_RUN.keys()
    written = {key for key, block in blocks().items() if block.language not in SHOWN or key in taken}

    assert written == taken
    assert RECIPES.keys() <= globals().keys()


@pytest.mark.celery
def test_the_first_task_and_its_chord_give_their_results(recipe, terminal):
    tasks, console = recipe
    terminal.write(tasks)

    assert terminal.console(console) == "5\n3\n"


@pytest.mark.celery
def test_many_pools_serve_tasks_and_are_managed(recipe, terminal):
    tasks, pools, console = recipe
    terminal.write(tasks)
    terminal.append(pools, "tasks.py")
    terminal.worker(f"celery -A tasks worker {QUICK} -Q celery,payments,metrics.page-views")

    sent = "print(*(add.apply_async(([n],), queue=q).get(timeout=60) for n, q in enumerate(queues)))"
    queues = 'from tasks import add; queues = ["celery", "payments", "metrics.page-views"]'
    answers = terminal.run(f"python -c '{queues}; {sent}'")
    shown = terminal.console(console)

    assert answers == "0 1 2\n"
    assert [name for name in ("main", "quick", "sure-1", "sure-2", "sure-3") if name not in shown] == []
    assert "celery\tmain\t" in shown
    assert "metrics.page-views\tquick\t" in shown


def test_plain_kombu_gets_what_it_sent(recipe, terminal):
    (block,) = recipe

    assert terminal.python(block) == ""


def test_a_program_without_kombu_claims_what_it_posted(recipe, terminal):
    (block,) = recipe

    assert terminal.python(block, after="\nprint(messages[0]['body'])") == "{'item': 'tea'}\n"


@pytest.mark.celery
def test_pools_of_the_configuration_serve_tasks(recipe, terminal):
    (block,) = recipe
    (terminal.folder / "celeryconfig.py").touch()
    terminal.append(block, "celeryconfig.py", 'result_backend = "db+sqlite:///results.db"\n')
    terminal.create("tasks.py", application(config_source="celeryconfig"))
    terminal.worker(f"celery -A tasks worker {QUICK} -Q celery,metrics.page-views")

    sent = "print(tasks.add.apply_async(([2, 3],), queue='metrics.page-views').get(timeout=60))"
    answer = terminal.run(f'python -c "import tasks; {sent}"')

    assert answer == "5\n"
    assert pool_of("metrics.page-views", f"sqlite:///{terminal.folder}/control.db") == "quick"


@pytest.mark.celery
def test_a_generated_configuration_file_serves_tasks_and_a_batch(recipe, terminal):
    console, gathered = recipe
    terminal.console(console)
    terminal.create("tasks.py", application(broker=f"pool+conf://{terminal.folder}/kombu_pool.conf", backend=RESULTS))
    terminal.worker(f"celery -A tasks worker {QUICK}")

    before = (
        "import tasks\nfrom tasks import app\nresults = []\norders = [[1], [2]]\n"
        "class ship:\n    apply_async = staticmethod(lambda *a, **o: results.append(tasks.add.apply_async(*a, **o)))\n"
    )
    answer = terminal.python(gathered, before, "\nprint([result.get(timeout=60) for result in results])")

    assert answer == "[1, 2]\n"
    assert "#queue_flavors =" in (terminal.folder / "kombu_pool.conf").read_text()


@pytest.mark.celery
def test_the_commands_show_what_the_page_shows(recipe, terminal):
    shop, looking, consumers, as_json, acting = recipe
    terminal.write(shop)
    terminal.replaced = {**terminal.replaced, "web-1": platform.node()}
    terminal.run("python shop.py")

    terminal.console(looking)
    terminal.console(as_json)
    terminal.worker(f"celery -A shop worker {QUICK} --prefetch-multiplier=1", ready=True)
    eventually(lambda: "default\t0\t1\t0" in terminal.run("celery -A shop pool queues orders"), LIMIT)
    terminal.console(consumers)
    terminal.close()
    terminal.console(acting)


@pytest.mark.celery
def test_dead_letters_are_listed_and_redriven(recipe, redis, redis_terminal):
    shop, listing, redriving, program = recipe
    terminal = redis_terminal
    terminal.write(shop)
    terminal.worker(f"celery -A shop worker {QUICK}")
    for number, order in enumerate([4711, 4712], 1):
        terminal.run(f'python -c "import shop; shop.pay.delay({order})"')
        wait_for_dead_letters(redis, number)

    terminal.console(listing)
    terminal.console(redriving)
    wait_for_dead_letters(redis, 2)

    assert terminal.python(program) == "{'orders': 2} {} 0 {}\n"


@pytest.mark.celery
def test_a_redis_serves_tasks(recipe, redis_terminal):
    (block,) = recipe
    redis_terminal.write(block, after=ADDING)
    redis_terminal.worker(f"celery -A tasks worker {QUICK}")

    assert redis_terminal.run(ADD) == "5\n"


def test_every_kind_of_redis_url_is_understood(recipe, terminal, certificate):
    (block,) = recipe
    terminal.replaced = {"/etc/ssl/redis-ca.pem": certificate}
    opened = "\nimport kombu_pool, kombu\nprint(kombu.Connection(broker_url).transport.as_uri(broker_url))\n"

    urls = [f"broker_url = {url}" for url in block.text.split("broker_url = ")[1:]]
    shown = [terminal.python(Block(block.page, block.language, url), after=opened) for url in urls]

    assert [url.partition("://")[0] for url in shown] == [
        "pool+rediss",
        "pool+redis+socket",
        "pool+redis+sentinel",
        "pool+redis+cluster",
    ]
    assert "s3cret" not in "".join(shown)


def test_options_of_a_redis_pool_are_understood(recipe, terminal, certificate):
    (block,) = recipe
    terminal.replaced = {"/etc/ssl/redis-ca.pem": certificate}
    opened = (
        "\nimport kombu_pool\n"
        "(pool,) = broker_transport_options['pools']\n"
        "kombu_pool.open_data(pool['uri'], options=pool['options']).close()\n"
        "kombu_pool.open('memory://catalogue', **broker_transport_options).close()\n"
    )

    assert terminal.python(block, after=opened) == ""


def test_both_forms_of_an_address_map_are_understood(recipe, terminal):
    (block,) = recipe
    locate = (
        "\nfrom kombu_pool import drivers\n"
        "from kombu_pool.drivers.redis.location import locate\n"
        "uri = broker_url.removeprefix('pool+')\n"
        "plain, options = uri[: uri.index('?')], {'address_map': address_map}\n"
        "locations = [locate(drivers.parse(uri), {}, None), locate(drivers.parse(plain), options, None)]\n"
        "print(*(location.reachable(('10.0.0.6', 7002)) for location in locations))\n"
    )

    assert terminal.python(block, after=locate) == "('redis2.example.com', 7002) ('redis2.example.com', 7002)\n"


@pytest.mark.celery
def test_a_worker_and_a_producer_need_no_more_than_these_permissions(recipe, redis, redis_terminal):
    (block,) = recipe
    redis.ask(*block.text.split())
    redis_terminal.create("tasks.py", application(broker=f"pool+redis://app:s3cret@{redis.address}/0", backend=RESULTS))
    redis_terminal.worker("celery -A tasks worker --loglevel=INFO --concurrency=1")

    redis_terminal.create("everything.py", EVERYTHING)

    answers = redis_terminal.run(f"{ADD} && python everything.py && celery -A tasks pool health")

    assert answers.startswith("5\n")
    assert "default\tyes" in answers
    assert [entry for entry in redis.ask("ACL", "LOG") if is_missed(entry)] == []


def test_a_cluster_needs_the_permissions_in_the_table_too(recipe, terminal):
    (block,) = recipe
    (more,) = re.findall(r"^\| a cluster \| `(.*)` \|$", (ROOT / block.page).read_text(), re.MULTILINE)
    cluster = shared_cluster()
    for node in cluster.nodes:
        node.ask(*block.text.split(), *more.replace("\\", "").split())
    url = f"pool+{cluster.uri().replace('://', '://app:s3cret@')}"
    terminal.create("tasks.py", application(broker=url, backend=RESULTS))
    terminal.create("everything.py", EVERYTHING)

    terminal.run("python everything.py")

    assert [entry for node in cluster.nodes for entry in node.ask("ACL", "LOG") if is_missed(entry)] == []


@pytest.mark.celery
def test_a_mongodb_serves_tasks(recipe, mongodb_terminal):
    (block,) = recipe
    mongodb_terminal.write(block, after=ADDING)
    mongodb_terminal.worker(f"celery -A tasks worker {QUICK}")

    assert mongodb_terminal.run(ADD) == "5\n"


@pytest.mark.celery
def test_a_mongodb_and_a_redis_are_pools_of_one_catalogue(recipe, mongodb_terminal):
    (block,) = recipe
    (mongodb_terminal.folder / "celeryconfig.py").touch()
    settings = 'broker_url = "pool:///shop"\nresult_backend = "db+sqlite:///results.db"\n'
    mongodb_terminal.append(block, "celeryconfig.py", settings)
    mongodb_terminal.create("tasks.py", application(config_source="celeryconfig"))
    mongodb_terminal.worker(f"celery -A tasks worker {QUICK} -Q celery,payments.cards")

    sent = "print(tasks.add.apply_async(([2, 3],), queue='payments.cards').get(timeout=60))"

    assert mongodb_terminal.run(f'python -c "import tasks; {sent}"') == "5\n"
    assert pool_of("payments.cards", f"sqlite:///{mongodb_terminal.folder}/state/kombu_pool/shop.db") == "sure"


@pytest.mark.celery
def test_a_worker_that_consumes_no_more_is_stopped(recipe, terminal):
    (console,) = recipe
    terminal.create("tasks.py", application(broker="pool://"))
    terminal.worker(
        "celery -A tasks worker --pool=solo --loglevel=INFO --hostname=worker@host --pidfile=worker.pid", ready=True
    )

    terminal.console(console)

    assert "Canceling queue celery" in terminal.log()


def wait_for_dead_letters(redis, number):
    with closing(kombu_pool.open(redis.uri())) as store:
        eventually(lambda: store.queue_controller.exists("dead") and store.message_controller.count("dead") == number)


def pool_of(queue, uri):
    with closing(kombu_pool.open(uri)) as store:
        return store.catalog.pool_of(queue)


def is_missed(entry):
    """Whether an entry of ACL LOG is about a command that the page does not name as one that may be refused."""
    user, command = (
        value.decode() if isinstance(value, bytes) else value for value in map(entry.get, ("username", "object"))
    )
    return user == "app" and command not in {"client|setinfo", "client"}
