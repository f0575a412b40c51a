"""The pages of the dead letters: the queues that have some, and those of one queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import Route

from kombu_pool.operator import dead_letters, messages, queues, removal
from kombu_pool.operator.summaries import REASONS, UNREADABLE
from kombu_pool.storage.redrive import DeadLetterFilter
from kombu_pool.web.actions import MAX_SECONDS, Question, ask, is_confirmed, required, take
from kombu_pool.web.formats import counted
from kombu_pool.web.pages.layout import page
from kombu_pool.web.problems import Problem
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import form_of, path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.datastructures import ImmutableMultiDict
    from starlette.requests import Request
    from starlette.responses import Response

    from kombu_pool.model import RedriveResult
    from kombu_pool.operator.dead_letters import DeadLetterQueue
    from kombu_pool.operator.messages import MessageView

#: How old the list of queues may be, in seconds: the first messages of every queue are read for it.
_TTL = 10.0
#: Dead letters that the page lists, and that a question counts.
SHOWN, _COUNTED = 200, 1000
_ALL_REASONS = {**REASONS, **UNREADABLE}


class Chosen(NamedTuple):
    """What a reader has chosen among the dead letters of a queue; empty is all."""

    reason: str
    origin: str

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Chosen:
        """Return the choice of a query or a form."""
        reason = given.get("reason", "")
        if reason and reason not in _ALL_REASONS:
            # Any reason would be more than what was asked for.
            raise Problem(400, "Refused", f"reason must be one of {', '.join(_ALL_REASONS)}, or empty, not {reason!r}")
        return cls(reason, given.get("origin", ""))

    def matches(self, view: MessageView) -> bool:
        """Return whether a dead letter is wanted."""
        letter = view.dead_letter or {}
        return (not self.reason or letter.get("reason") == self.reason) and (
            not self.origin or letter.get("queue") == self.origin
        )


def show(request: Request) -> Response:
    """Show the queues with dead letters, or the dead letters of one queue."""
    name = request.query_params.get("name")
    if name is None:
        return page(request, "dead_queues.html", live(request), path_for(request, "events", "dead"))
    site, chosen = site_of(request), Chosen.of(request.query_params)
    store, project = site.broker[:2]
    queues.require_answer(store, project, name)
    views = messages.peek(
        store, project, name, limit=messages.MAX_SEARCHED, dead=True, show_bodies=site.options.show_bodies
    )
    wanted = [view for view in views if chosen.matches(view)]
    return page(
        request, "dead_letters.html", name=name, rows=wanted[:SHOWN], found=len(wanted), shown=SHOWN, chosen=chosen,
        reasons=list(_ALL_REASONS), origins=sorted({(view.dead_letter or {}).get("queue", "") for view in views}),
        searched=messages.MAX_SEARCHED,
    )  # fmt: skip


def live(request: Request) -> str:
    """Return the table of queues."""
    site = site_of(request)

    def look() -> Sequence[DeadLetterQueue]:
        store, project = site.broker[:2]
        # A dead letter is a ready message: empty queues need no look. Unknown counts may hide some.
        filled = {row.queue for row in site.sampler.latest().queues if row.ready != 0}
        return dead_letters.queues_with_dead_letters(store, project, among=filled)

    rows = site.shared.get("dead", _TTL, look)
    return render_text(request, "_dead_queues.html", rows=rows[:SHOWN], found=len(rows))


def _selection(form: ImmutableMultiDict[str, str]) -> tuple[DeadLetterFilter, str]:
    """Return the dead letters that a form chooses, and what they are in words."""
    chosen = Chosen.of(form)
    reasons = [_ALL_REASONS[chosen.reason]] if chosen.reason else None
    origins = [chosen.origin] if chosen.origin else None
    if form.get("scope") == "all":
        words = [f"with the reason {chosen.reason}" if reasons else "", f"from {chosen.origin}" if origins else ""]
        return DeadLetterFilter(reasons, origins), " ".join(["all dead letters", *filter(None, words)])
    ids = form.getlist("message")
    if not ids:
        raise Problem(400, "Nothing chosen", "No dead letter is checked.")
    return DeadLetterFilter(None, None, ids), counted(len(ids), "dead letter")


def redrive(request: Request) -> Response:
    """Redrive dead letters to the queues that they came from, or to another one."""
    name, form = required(request, "name"), form_of(request)
    selection, what = _selection(form)
    target = form.get("target", "").strip() or None
    store, project = site_of(request).broker[:2]
    back = path_for(request, "dead", name=name, **Chosen.of(form)._asdict())
    if not is_confirmed(request):
        found = dead_letters.preview_redrive(store, project, name, target, selection, _COUNTED)
        rows = tuple(f"{row.count} to {row.to}{_absence(row.exists)}: {row.reason}" for row in found)
        total = sum(row.count for row in found)
        more = (f"These are the first {_COUNTED}.",) if total >= _COUNTED else ()
        question = Question(f"Redrive {what} in {name}?", "Redrive", back, (*rows, *more))
        return ask(request, question, **_fixed(request, name, selection))
    ends = time.monotonic() + MAX_SECONDS

    def call() -> str:
        result = store.redrive(
            name, project, target=target, progress=lambda _: time.monotonic() > ends, **selection._asdict()
        )
        return _told(result)

    return take(request, "redrive", f"{what} in {name}", call, back)


def _fixed(request: Request, name: str, selection: DeadLetterFilter) -> dict[str, list[str]]:
    """Return fields with the ids of the dead letters that are found now; none if there are more than are counted."""
    store, project = site_of(request).broker[:2]
    ids = dead_letters.selected_ids(store, project, name, selection, _COUNTED + 1)
    if not ids:
        raise Problem(400, "Nothing chosen", "No such dead letter is there; unreadable ones can only be deleted.")
    return {} if len(ids) > _COUNTED else {"scope": ["checked"], "message": ids}


def _absence(exists: bool) -> str:
    return "" if exists else ", which does not exist"


def _told(result: RedriveResult) -> str:
    moved = [f"{count} to {queue}" for queue, count in sorted(result.moved.items())]
    texts = [f"Moved {', '.join(moved)}." if moved else "Moved nothing."]
    texts += [f"{count} for {queue} remain." for queue, count in sorted(result.remaining.items())]
    texts += [str(error) for _, error in sorted(result.refusals.items())]
    if result.duplicated:
        texts.append(f"{result.duplicated} of them also remain: their claim expired meanwhile.")
    if result.seen < result.total:
        texts.append(f"{result.total - result.seen} were not reached in time: do it again.")
    return " ".join(texts)


def delete(request: Request) -> Response:
    """Delete dead letters."""
    name = required(request, "name")
    selection, what = _selection(form_of(request))
    store, project = site_of(request).broker[:2]
    back = path_for(request, "dead", name=name, **Chosen.of(form_of(request))._asdict())
    if not is_confirmed(request):
        fixed = _fixed(request, name, removal.DeletableDeadLetters(*selection))
        found = len(fixed["message"]) if fixed else f"more than {_COUNTED}"
        question = Question(f"Delete {what} in {name}?", "Delete", back, (f"Found: {found}.",))
        return ask(request, question, **fixed)
    ends = time.monotonic() + MAX_SECONDS

    def call() -> str:
        deleted = removal.delete_dead_letters(store, project, name, selection, lambda _, __: time.monotonic() > ends)
        late = " The time was over: there may be more." if time.monotonic() > ends else ""
        return f"Deleted {counted(deleted, 'dead letter')} in {name}.{late}"

    return take(request, "delete dead letters", f"{what} in {name}", call, back)


routes = [
    Route("/dead", show, name="dead"),
    Route("/dead/redrive", redrive, methods=["POST"], name="redrive"),
    Route("/dead/delete", delete, methods=["POST"], name="delete_dead"),
]
