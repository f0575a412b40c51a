"""Errors of the configuration in a Celery worker's log: one line each, with a traceback at the level DEBUG only."""

from __future__ import annotations

import logging

from amqp.exceptions import PreconditionFailed

from kombu_pool.errors import ConfigurationError, IncompatibleStore, NoPoolFound

#: The logger on which a worker logs why it ends.
LOGGER = "celery.worker"
#: What a change of the settings, or of a queue, mends.
_ERRORS = (ConfigurationError, IncompatibleStore, NoPoolFound, PreconditionFailed)


class _OneLine(logging.Filter):
    """Logs an error of the configuration by its text alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; return True."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, _ERRORS) and not logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            record.msg, record.args = "%s: %s", (type(error).__name__, error)
            record.exc_info = record.exc_text = None
        return True


_FILTER = _OneLine()


def install() -> None:
    """Make the workers of this process log so."""
    logging.getLogger(LOGGER).addFilter(_FILTER)
