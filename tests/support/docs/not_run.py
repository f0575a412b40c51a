"""The code blocks of the documentation that no test runs, with the reason."""

from __future__ import annotations

ONE_TEST = (
    "$ .venv/bin/python -m pytest "
    '"tests/transport/test_leases.py::test_a_claim_is_renewed_while_a_callback_blocks[sqlite]"'
)
_INSTALLS = "it installs packages"
MAKE = "$ make quickstart     # from a clone: a worker on pool://, twenty tasks and their results, in under a minute"
_SUITE = "it starts the suite, or a part of it"
_OWN_DRIVER = "tests/test_testing.py runs it, in a project of its own"
_FLOWER = "tests/celery/test_flower.py runs it"
_MONITORING = "tests/docs/test_monitoring.py runs or reads it"
_API = "tests/docs/test_management_api.py runs it, beside a server"
#: The page and the first line of each -> the reason.
NOT_RUN = {
    ("README.md", MAKE): "it installs packages and starts the suite; tests/examples runs the quickstart",
    ("docs/redis.md", "$ pip install 'kombu-pool[celery,redis]'"): _INSTALLS,
    ("docs/mongodb.md", "$ pip install 'kombu-pool[celery,mongodb]'"): _INSTALLS,
    ("docs/mongodb.md", 'sh.shardCollection("celery.kombu_pool_messages", {p: 1, q: 1})'): "no sharded cluster is here",
    ("docs/tutorial.md", "$ python3 -m venv .venv && . .venv/bin/activate"): _INSTALLS,
    ("docs/django.md", "$ pip install django 'kombu-pool[celery]' sqlalchemy"): _INSTALLS,
    ("docs/flask.md", "$ pip install flask 'kombu-pool[celery]' sqlalchemy"): _INSTALLS,
    ("docs/fastapi.md", "$ pip install fastapi uvicorn 'kombu-pool[celery]' sqlalchemy"): _INSTALLS,
    ("docs/web.md", "$ pip install 'kombu-pool[celery,web]'"): "it serves until it is stopped",
    ("docs/web.md", "location /pool/ {"): "it is of another program",
    ("docs/chaos.md", "$ make chaos                  # all three stores"): "it takes ten minutes",
    ("docs/drivers.md", '[project.entry-points."kombu_pool.drivers"]'): _OWN_DRIVER,
    ("docs/drivers.md", "from kombu_pool.testing import Store  # tests/test_conformance.py"): _OWN_DRIVER,
    ("docs/monitoring.md", "from prometheus_client import REGISTRY, start_http_server"): _MONITORING,
    ("docs/monitoring.md", "from wsgiref.simple_server import make_server"): _MONITORING,
    ("docs/monitoring.md", "scrape_configs:"): _MONITORING,
    ("docs/monitoring.md", "livenessProbe:"): _MONITORING,
    ("docs/monitoring.md", "apiVersion: keda.sh/v1alpha1"): _MONITORING,
    ("docs/monitoring.md", "import kombu_pool.contrib.flower  # flowerconfig.py"): _FLOWER,
    (
        "docs/management-api.md",
        "$ python -m kombu_pool -b pool+sqlite:////var/lib/shop/control.db web --token-file token &",
    ): _API,
    (
        "docs/management-api.md",
        '$ rabbitmqadmin --port 15680 --password "$(cat token)" declare queue name=orders',
    ): _API,
    ("docs/management-api.md", "triggers:"): _API,
    ("docs/testing.md", "$ make test      # all tests, with the servers that they start"): _SUITE,
    ("docs/testing.md", ONE_TEST): _SUITE,
    ("CONTRIBUTING.md", "$ make quickstart     # is everything here that is needed?"): _SUITE,
}  # fmt: skip
