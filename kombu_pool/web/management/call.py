"""A request to the API, as a handler reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from kombu_pool.web.management.errors import bad_request
from kombu_pool.web.management.json_values import document
from kombu_pool.web.management.listing import Listing
from kombu_pool.web.management.state import ManagementState
from kombu_pool.web.management.vhosts import project_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver


_TRUE, _FALSE = (True, "true"), (False, "false")


class Call:
    """A request, with the decoded parameters of its path and its whole body."""

    def __init__(self, request: Request, parameters: Mapping[str, str], body: bytes) -> None:
        self.request = request
        self.parameters = parameters
        self._body = body
        self.state = ManagementState.of(request)
        self.store: DataDriver = self.state.store

    @property
    def name(self) -> str:
        """The name of the object."""
        return self.parameters["name"]

    @property
    def vhost(self) -> str:
        """The name of the virtual host."""
        return self.parameters["vhost"]

    def project(self) -> Project:
        """Return the project of the virtual host.

        Raises:
            ApiError: there is no such virtual host.
        """
        return project_of(self.state, self.vhost)

    def projects(self) -> Sequence[Project]:
        """Return the project of the virtual host; without one in the path, all that are known."""
        return (self.project(),) if "vhost" in self.parameters else self.state.projects()

    def listing(self) -> Listing:
        """Return the columns, the order and the page that the query asks for."""
        return Listing.of(self.request.query_params)

    def flag(self, name: str) -> bool:
        """Return a parameter of the query that is true or false; False if it is absent."""
        value = self.request.query_params.get(name, "false")
        if value not in ("true", "false"):
            raise bad_request(f"{name} must be true or false, not {value!r}")
        return value == "true"

    def body(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object; none is an empty one."""
        try:
            found = json.loads(self._body or b"{}")
        except (ValueError, RecursionError) as error:
            raise bad_request("not_json") from error
        if not isinstance(found, dict):
            raise bad_request("not_json")
        return found

    def one(self, value: Mapping[str, Any]) -> Response:
        """Return an answer with the columns of one object."""
        return document(self.listing().columns_of(value))

    def many(self, values: Sequence[Mapping[str, Any]]) -> Response:
        """Return an answer with the objects of a list: those of the page, in order, with their columns."""
        return document(self.listing().arranged(values))


def created() -> Response:
    """Return the answer to a request that created an object."""
    return Response(status_code=201)


def no_content() -> Response:
    """Return the answer to a request that was carried out, or that found nothing to do."""
    return Response(status_code=204)


def boolean(document: Mapping[str, Any], name: str, default: bool) -> bool:
    """Return a value of a body that is true or false, or the text of one."""
    value = document.get(name, default)
    for meaning, forms in ((True, _TRUE), (False, _FALSE)):
        if value in forms and isinstance(value, bool | str):
            return meaning
    raise bad_request(["not_boolean", value])


def arguments_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in a body."""
    value = document.get("arguments", {})
    # An empty list stands for an empty object in some clients.
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"arguments must be an object, not {value!r}")
    return value
