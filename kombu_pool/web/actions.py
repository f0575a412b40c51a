"""Takes an action for a form: asks for a confirmation, records it, and leads back to a page that says what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import RedirectResponse

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.web.problems import Problem
from kombu_pool.web.rendering import render
from kombu_pool.web.requests import FORM_FIELD, address_of, form_of, path_for, user_of
from kombu_pool.web.sessions import Sessions
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

#: The field of a form that was confirmed, and the fields of the query that say what was done.
_CONFIRMED, _DONE, _SEAL = "confirmed", "done", "seal"
#: Characters of what was done: it is carried in a URL.
_MAX_SAID = 1000
#: Time after which a long action stops, in seconds; the page says what remains.
MAX_SECONDS = 20.0


class Question(NamedTuple):
    """What is asked before an action: the question, the button that confirms it, and the way back."""

    text: str
    button: str
    back: str
    #: Lines that say more.
    details: tuple[str, ...] = ()


def is_confirmed(request: Request) -> bool:
    """Return whether the form was sent from the page that asks for a confirmation."""
    return form_of(request).get(_CONFIRMED) == "yes"


def ask(request: Request, question: Question, **replaced: Sequence[str]) -> Response:
    """Ask for a confirmation on a page that sends the form again; ``replaced``: fields with other values, by name."""
    own = {FORM_FIELD, _CONFIRMED, *replaced}
    fields = [(name, value) for name, value in form_of(request).multi_items() if name not in own]
    fields += [(name, value) for name, values in replaced.items() for value in values]
    return render(request, "confirm.html", question=question, fields=fields)


def take(request: Request, action: str, target: str, call: Callable[[], str], back: str) -> Response:
    """Take an action, which returns what was done; record it; and lead to ``back``, a path with a query."""
    site = site_of(request)
    try:
        said = mask(call())
    except KombuPoolError as error:
        site.audit.record(user_of(request), address_of(request), action, target, f"failed: {mask(str(error))}")
        raise
    finally:
        site.shared.clear()
    site.audit.record(user_of(request), address_of(request), action, target, said)
    return _redirect(request, said, back)


def _redirect(request: Request, said: str, back: str) -> Response:
    short = said if len(said) <= _MAX_SAID else f"{said[:_MAX_SAID]}..."
    query = path_for(request, "queues", **{_DONE: short, _SEAL: _seal(request, short)}).partition("?")[2]
    return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{query}", 303)


def done(request: Request) -> str:
    """Return what the last action did, if the query says it, and no other site made that up."""
    said, seal = (request.query_params.get(name, "") for name in (_DONE, _SEAL))
    return said if said and seal == _seal(request, said) else ""


def _seal(request: Request, said: str) -> str:
    return Sessions(site_of(request).options.token).form_token(said)[:16]


def required(request: Request, name: str) -> str:
    """Return a field of a form, or of the query of a page.

    Raises:
        Problem: it is missing.
    """
    given = form_of(request) if request.method == "POST" else request.query_params
    if name not in given:
        raise Problem(400, "Incomplete", f"The field {name!r} is missing.")
    return given[name]
