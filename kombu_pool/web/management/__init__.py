"""The part of RabbitMQ's management HTTP API that its tools and autoscalers speak, over the queues of a broker.

:func:`routes` returns the routes of ``/api``; the application has the store at ``app.state.site``.
"""

from kombu_pool.web.management.routes import routes

__all__ = ["routes"]
