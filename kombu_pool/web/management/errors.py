"""The errors of the HTTP API, in RabbitMQ's form: a status, and a body of ``error`` and ``reason``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqp.exceptions import AMQPError, MessageNacked, PreconditionFailed

from kombu_pool import errors
from kombu_pool.drivers import mask
from kombu_pool.web.management.json_values import document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

BAD_REQUEST, NOT_FOUND, METHOD_NOT_ALLOWED, SERVER_ERROR, UNAVAILABLE = 400, 404, 405, 500, 503


class ApiError(Exception):
    """An answer that is an error; its text is the ``reason``."""

    def __init__(self, status: int, error: str, reason: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason
        self.headers = dict(headers or {})


def bad_request(reason: Any) -> ApiError:
    """Return the error for a request that cannot be understood, or that does not fit what exists."""
    return ApiError(BAD_REQUEST, "bad_request", reason)


def not_found(reason: str) -> ApiError:
    """Return the error for an object that does not exist."""
    return ApiError(NOT_FOUND, "Object Not Found", reason)


def access_refused(name: str) -> ApiError:
    """Return the error for a change to what AMQP reserves."""
    return ApiError(401, "not_authorised", f"Access refused: names that begin with 'amq.' are reserved, as {name!r} is")


def unavailable(reason: str) -> ApiError:
    """Return the error for a pool that does not answer."""
    return ApiError(UNAVAILABLE, "unavailable", reason)


def as_api_error(error: Exception) -> ApiError:
    """Return an error of the broker as the API answers it, without passwords."""
    reason = mask(str(error))
    if isinstance(error, MessageNacked):
        found = bad_request(f"rejected: {reason}")
    elif isinstance(error, AMQPError):
        found = bad_request(_text(error))
    elif isinstance(error, errors.DoesNotExist):
        found = not_found(reason)
    elif isinstance(error, errors.ConnectionError | errors.StoreFull | errors.NoPoolFound):
        found = unavailable(reason)
    elif isinstance(error, errors.StoreError):
        found = ApiError(SERVER_ERROR, "internal_error", reason)
    else:
        found = bad_request(reason)
    return found


def _text(error: AMQPError) -> str:
    """Return the text of an error of AMQP; RabbitMQ's reasons for a mismatch have neither its name nor its code."""
    text = mask(str(error.reply_text))
    if isinstance(error, PreconditionFailed):
        return text.partition(" - ")[2] or text
    return f"{error.reply_code} {text}"


def response(error: ApiError) -> Response:
    """Return the answer."""
    answer = document({"error": error.error, "reason": error.reason}, error.status)
    answer.headers.update(error.headers)
    return answer
