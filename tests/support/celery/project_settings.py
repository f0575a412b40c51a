"""The settings of public Celery projects that concern a broker, as they stand in their sources, under today's names.

Facts only: names and values. Values that a deployment chooses are the projects' defaults, or plausible ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kombu import Exchange, Queue
from kombu.common import Broadcast

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The setting of a test's application that names a project.
PROJECT = "project"
#: Transport options that have an effect here, besides those that are named in the log.
HONOURED = frozenset({"queue_order_strategy", "global_keyprefix", "queue_name_prefix"})


@dataclass(frozen=True)
class Project:
    """A project: the broker that it is made for, its settings, and the queue for its tasks if not the default one."""

    broker: str
    settings: Mapping[str, Any]
    queue: str | None = None
    #: Settings besides the transport options that the log names, by their names in Celery.
    named: frozenset[str] = field(default=frozenset())

    @property
    def options(self) -> Mapping[str, Any]:
        """Its broker_transport_options."""
        return self.settings.get("broker_transport_options", {})

    @property
    def unused_options(self) -> set[str]:
        """The transport options that the log must name; an empty one is none."""
        return {name for name, value in self.options.items() if value != "" and name not in HONOURED}

    @property
    def queues(self) -> set[str]:
        """The queues that a worker consumes without further options."""
        given = self.settings.get("task_queues")
        if given is None:
            return {self.settings.get("task_default_queue", "celery")}
        return (
            set(given) if isinstance(given, dict) else {getattr(queue, "alias", None) or queue.name for queue in given}
        )


def _direct(*names: str, priorities: int) -> list[Queue]:
    arguments = {"x-max-priority": priorities}
    return [Queue(name, Exchange(name), routing_key=name, queue_arguments=arguments) for name in names]


PROJECTS = {
    "Apache Airflow": Project(
        "redis",
        {
            "accept_content": ["json"],
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {"visibility_timeout": 86400},
            "event_serializer": "json",
            "task_acks_late": True,
            "task_default_exchange": "default",
            "task_default_queue": "default",
            "task_track_started": True,
            "worker_enable_remote_control": True,
            "worker_prefetch_multiplier": 1,
        },
    ),
    "Apache Superset": Project("redis", {"task_acks_late": False, "worker_prefetch_multiplier": 1}),
    "Baserow": Project(
        "redis",
        {
            "beat_max_loop_interval": 20,
            "redbeat_lock_timeout": 80,
            "task_routes": {"export.*": {"queue": "export"}},
            "task_soft_time_limit": 300,
            "task_time_limit": 360,
        },
    ),
    "BookWyrm": Project("redis", {"task_create_missing_queues": True, "task_default_queue": "low_priority"}),
    "Dify": Project(
        "sentinel",
        {
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {
                "master_name": "mymaster",
                "sentinel_kwargs": {"password": "sentinel-secret", "socket_timeout": 0.1},
            },
            "task_ignore_result": True,
            "worker_hijack_root_logger": False,
        },
    ),
    "HoneySens": Project(
        "redis",
        {"broker_transport_options": {"queue_order_strategy": "sorted"}, "task_queues": [Queue("high"), Queue("low")]},
        queue="low",
    ),
    "IntelOwl": Project(
        "sqs",
        {
            "broker_transport_options": {
                "polling_interval": 1,
                "region": "eu-central-1",
                "visibility_timeout": 3600,
                "wait_time_seconds": 20,
            },
            "task_acks_late": True,
            "task_default_queue": "default",
            "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in ("default", "config")],
            "task_time_limit": 1800,
            "worker_max_memory_per_child": 4000,
            "worker_max_tasks_per_child": 200,
            "worker_prefetch_multiplier": 1,
            "worker_redirect_stdouts": False,
        },
    ),
    "MyTardis": Project(
        "amqp",
        {"task_acks_late": True, "task_queues": _direct("celery", priorities=10), "worker_prefetch_multiplier": 1},
    ),
    "OasisPlatform": Project(
        "amqp",
        {
            "task_acks_late": True,
            "task_default_queue": "celery-v2",
            "task_inherit_parent_priority": True,
            "task_queues": [
                *_direct("celery-v2", "task-controller", priorities=10),
                Broadcast("model-worker-broadcast"),
            ],
            "task_reject_on_worker_lost": True,
            "worker_prefetch_multiplier": 1,
        },
    ),
    "Onyx": Project(
        "redis",
        {
            "broker_connection_retry_on_startup": True,
            "broker_pool_limit": 10,
            "broker_transport_options": {
                "health_check_interval": 60,
                "priority_steps": [0, 1, 2, 3, 4],
                "queue_order_strategy": "priority",
                "retry_on_timeout": True,
                "sep": ":",
                "socket_keepalive": True,
                "socket_keepalive_options": {4: 60, 5: 15, 6: 3},
            },
            "redis_backend_health_check_interval": 60,
            "redis_retry_on_timeout": True,
            "redis_socket_keepalive": True,
            "task_acks_late": True,
            "task_default_priority": 2,
        },
    ),
    "Open edX": Project(
        "redis or amqp",
        {
            "broker_connection_timeout": 1,
            "broker_heartbeat": 60.0,
            "broker_heartbeat_checkrate": 2,
            "broker_pool_limit": 0,
            "broker_transport_options": {"fanout_patterns": True, "fanout_prefix": True},
            "task_default_queue": "edx.lms.core.default",
            "task_queues": {f"edx.lms.core.{name}": {} for name in ("default", "high", "high_mem")},
            "worker_prefetch_multiplier": 1,
        },
        named=frozenset({"broker_connection_timeout", "broker_heartbeat"}),
    ),
    "Packit": Project(
        "redis",
        {"task_default_queue": "short-running", "task_send_sent_event": True, "worker_send_task_events": True},
    ),
    "Paperless-ngx": Project(
        "redis",
        {
            "accept_content": ["application/json", "application/x-python-serialize"],
            "broker_connection_retry": True,
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {"global_keyprefix": ""},
            "result_extended": True,
            "task_send_sent_event": True,
            "task_serializer": "pickle",
            "task_time_limit": 1800,
            "task_track_started": True,
            "worker_max_tasks_per_child": 1,
            "worker_send_task_events": True,
        },
    ),
    "Plea Online": Project(
        "sqs",
        {
            "broker_transport_options": {
                "predefined_queues": {"pet-celery": {"url": "https://sqs.eu-west-2.amazonaws.com/1/pet-celery"}},
                "region": "eu-west-2",
            },
            "task_default_queue": "pet-celery",
        },
    ),
    "PostHog": Project(
        "redis",
        {
            "beat_max_loop_interval": 30,
            "redbeat_lock_timeout": 45,
            "result_expires": 345600,
            "task_default_queue": "celery",
            "task_ignore_result": True,
            "task_queues": (Queue("celery", Exchange("celery"), "celery"),),
        },
    ),
    "PyPI Warehouse": Project(
        "sqs",
        {
            "accept_content": ["json", "msgpack"],
            "broker_transport_options": {"queue_name_prefix": "warehouse-", "region": "us-east-2"},
            "task_default_queue": "default",
            "task_default_routing_key": "task.default",
            "task_queues": (Queue("default", routing_key="task.#"),),
            "task_serializer": "json",
            "worker_disable_rate_limits": True,
            "worker_proc_alive_timeout": 10.0,
        },
    ),
    "Taiga": Project(
        "amqp",
        {
            "accept_content": ["pickle"],
            "task_default_exchange": "tasks",
            "task_default_exchange_type": "topic",
            "task_default_queue": "tasks",
            "task_default_routing_key": "task.default",
            "task_queues": (
                Queue("tasks", routing_key="task.#"),
                Queue("transient", routing_key="transient.#", delivery_mode=1),
            ),
            "task_serializer": "pickle",
        },
    ),
    "Treeherder": Project(
        "amqp",
        {
            "broker_connection_timeout": 30,
            "broker_heartbeat": None,
            "task_acks_late": True,
            "task_create_missing_queues": False,
            "task_default_queue": "default",
            "task_queues": [
                Queue("default", Exchange("default"), routing_key="default"),
                Queue("log_parser", Exchange("default"), routing_key="log_parser.normal"),
                Queue("log_parser_fail_raw_sheriffed", Exchange("default"), routing_key="log_parser.failures"),
                Queue("log_parser_fail_json_sheriffed", Exchange("default"), routing_key="log_parser.failures"),
                Queue("pushlog", Exchange("default"), routing_key="pushlog"),
            ],
            "task_soft_time_limit": 900,
            "task_time_limit": 930,
        },
        named=frozenset({"broker_connection_timeout"}),
    ),
    "Weblate": Project(
        "redis",
        {
            "task_routes": {"weblate.accounts.tasks.notify_*": {"queue": "notify"}},
            "worker_max_memory_per_child": 200000,
            "worker_prefetch_multiplier": 0,
        },
    ),
}
