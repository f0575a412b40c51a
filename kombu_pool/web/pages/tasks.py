"""The page of the tasks that wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from starlette.routing import Route

from kombu_pool.drivers import mask
from kombu_pool.operator import tasks
from kombu_pool.operator.queues import require_answer
from kombu_pool.operator.times import read_duration, read_time
from kombu_pool.web.actions import MAX_SECONDS, Question, ask, is_confirmed, take
from kombu_pool.web.formats import counted
from kombu_pool.web.pages.layout import page
from kombu_pool.web.problems import Problem
from kombu_pool.web.requests import MAX_BODY, form_of, path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from starlette.datastructures import ImmutableMultiDict
    from starlette.requests import Request
    from starlette.responses import Response

    from kombu_pool.model import FoundMessage
    from kombu_pool.operator.tasks import TaskAnswer, TaskReport, TaskRow
    from kombu_pool.web.site import Site

#: Tasks that the page lists, and messages in each state of each queue that are read for the summary.
SHOWN, _SUMMARIZED = 200, 200
#: How old the summary may be: it needs a call for each queue that has messages, in seconds.
_TTL = 10.0
#: Time after which a search reads no more queues, in seconds.
READ_SECONDS = 2.0
#: Tasks of one action, and characters of their keys in the form that confirms it: a request has a limit.
MAX_BATCH, _MAX_KEYS = 10_000, MAX_BODY * 8 // 10
_SEARCHED_STATES = ("", "ready", "delayed")
#: Names that a question or a result lists.
_LISTED = 5
_HIGHEST_PRIORITY = 255


@dataclass(frozen=True)
class Search:
    """What a reader looks for: an id, or the tasks of a name or pattern, a queue, a state, an age."""

    id: str
    name: str
    queue: str
    state: str
    older: str

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Search:
        """Return the search of a query or a form."""
        state = given.get("state", "")
        if state not in _SEARCHED_STATES:
            # Any state would be more than what was asked for.
            raise Problem(400, "Refused", f"state must be ready or delayed, or empty for both, not {state!r}")
        texts = {name: given.get(name, "").strip() for name in ("id", "name", "queue", "older")}
        return cls(state=state, **texts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is looked for."""
        return not any((self.id, self.name, self.queue, self.state, self.older))

    def query(self) -> dict[str, str]:
        """Return the query of the page that shows this search."""
        return {"id": self.id, "name": self.name, "queue": self.queue, "state": self.state, "older": self.older}

    def filter(self) -> tasks.TaskFilter:
        """Return the selection.

        Raises:
            Problem: the age is no duration.
        """
        older = _duration(self.older) if self.older else 0.0
        return tasks.TaskFilter([self.name] if self.name else [], self.state or None, older)


def _duration(text: str) -> float:
    try:
        return read_duration(text)
    except ValueError as error:
        raise Problem(400, "Refused", str(error)) from error


def show(request: Request) -> Response:
    """Show the tasks that are looked for; without a search, how many of each name wait."""
    site, search = site_of(request), Search.of(request.query_params)
    answer, report = None, None
    if search.id:
        if search.queue:
            require_answer(*site.broker[:2], search.queue)
        answer = tasks.find_tasks(*site.broker[:2], [search.id], search.queue or None)
        rows = answer.tasks
    else:
        report = _summary(site) if search.is_empty else _find(site, search)
        rows = report.tasks
    return page(
        request, "tasks.html", search=search, rows=rows[:SHOWN], found=len(rows), shown=SHOWN, answer=answer,
        report=report, summaries=report.summaries() if report and search.is_empty else None, key=_key,
        summarized=_SUMMARIZED, unreachable=(answer or report or tasks.TaskReport([])).unreachable,
    )  # fmt: skip


def _summary(site: Site) -> TaskReport:
    def ask_stores() -> TaskReport:
        store, project = site.broker[:2]
        return tasks.list_tasks(store, project, tasks.TaskFilter(), limit=_SUMMARIZED, seconds=READ_SECONDS)

    return site.shared.get("tasks", _TTL, ask_stores)


def _find(site: Site, search: Search) -> TaskReport:
    store, project = site.broker[:2]
    chosen = [search.queue] if search.queue else []
    return tasks.list_tasks(store, project, search.filter(), queues=chosen, seconds=READ_SECONDS)


def _key(row: TaskRow) -> str:
    """Return the value of a task's check box: with its queue it is found by one call."""
    return f"{quote(row.queue, safe='')}:{row.id}"


def cancel(request: Request) -> Response:
    """Cancel the chosen tasks."""
    site = site_of(request)
    note: tuple[str, ...] = ("A task that a worker holds is left alone.",)
    if site.options.on_cancelled is None:
        note += ("The results of these tasks stay PENDING: the page knows no result backend.",)
    store, project = site.broker[:2]

    failures: dict[str, Exception] = {}

    def call(queue: str, ids: Sequence[str]) -> TaskAnswer:
        return tasks.cancel_tasks(store, project, ids, queue, revoke)

    def revoke(messages: Sequence[FoundMessage]) -> None:
        if site.options.on_cancelled is not None:
            failures.update(site.options.on_cancelled(messages) or {})

    return _act(request, "cancel", "Cancelled", note, call, failures)


def run_now(request: Request) -> Response:
    """Make the chosen tasks ready now."""
    store, project = site_of(request).broker[:2]
    return _act(
        request, "run now", "Made ready", ("Tasks that are ready stay where they are.",),
        lambda queue, ids: tasks.run_now(store, project, ids, queue),
    )  # fmt: skip


def reschedule(request: Request) -> Response:
    """Change when the chosen tasks may run, or their priority."""
    form = form_of(request)
    due, priority = _due(form), _priority(form.get("priority", "").strip())
    if due is None and priority is None:
        raise Problem(400, "Nothing to change", "Say in how long, at which time, or with which priority.")
    store, project = site_of(request).broker[:2]
    return _act(
        request, "reschedule", "Changed", (),
        lambda queue, ids: tasks.change_tasks(store, project, ids, due=due, priority=priority, queue=queue),
    )  # fmt: skip


def _due(form: Mapping[str, str]) -> float | None:
    after, at = form.get("in", "").strip(), form.get("at", "").strip()
    if after and at:
        raise Problem(400, "Refused", "In how long, and at which time, are two times: give one.")
    if after:
        return time.time() + _duration(after)
    try:
        return read_time(at) if at else None
    except ValueError as error:
        raise Problem(400, "Refused", str(error)) from error


def _priority(given: str) -> int | None:
    if not given:
        return None
    if not given.isdecimal() or len(given) > len(str(_HIGHEST_PRIORITY)) or int(given) > _HIGHEST_PRIORITY:
        raise Problem(400, "Refused", f"priority must be a whole number from 0 to {_HIGHEST_PRIORITY}, not {given!r}")
    return int(given)


def _act(
    request: Request,
    action: str,
    did: str,
    note: tuple[str, ...],
    call: Callable[[str, Sequence[str]], TaskAnswer],
    failures: Mapping[str, Exception] = {},
) -> Response:
    """Do something with the tasks that are checked, or with all that are found; after a confirmation."""
    form, search = form_of(request), Search.of(form_of(request))
    back = path_for(request, "tasks", **search.query())
    wanted = _chosen(site_of(request), form, search)
    keys = _within_bounds(wanted)
    chosen = [_read_key(key) for key in keys]
    names = ", ".join(task_id for _, task_id in chosen[:_LISTED]) + (", ..." if len(chosen) > _LISTED else "")
    if not is_confirmed(request):
        text = f"{action.capitalize()} {counted(len(chosen), 'task')}?"
        if len(keys) < len(wanted):
            note += (f"These are the first of {len(wanted)}: do it again for the others.",)
        # Those that were found now, and none that comes until the confirmation.
        # "Cancel" alone would be read as the way back.
        button = (
            action.capitalize() if action != "cancel" else f"Cancel {'the task' if len(chosen) == 1 else 'these tasks'}"
        )
        return ask(request, Question(text, button, back, (names, *note)), scope=["checked"], task=keys)

    def run() -> str:
        said = _each_queue(chosen, did, call)
        failed = [f"The result of {task_id} stays as it is: {mask(str(error))}." for task_id, error in failures.items()]
        return " ".join([said, *failed[:_LISTED]])

    return take(request, f"{action} tasks", f"{len(chosen)}: {names}", run, back)


def _chosen(site: Site, form: ImmutableMultiDict[str, str], search: Search) -> list[str]:
    """Return the keys of the tasks that are checked, or of all that are found."""
    keys = form.getlist("task")
    if form.get("scope") == "all":
        if search.id or search.is_empty:
            raise Problem(400, "Refused", "Only the tasks of a name, queue, state or age are chosen all at once.")
        keys = [_key(row) for row in _find(site, search).tasks]
    if not keys:
        raise Problem(400, "Nothing chosen", "No task is checked, or none is found any more.")
    return keys


def _within_bounds(keys: Sequence[str]) -> list[str]:
    """Return the first keys, as many as one action takes and one form carries."""
    lengths = accumulate(len(quote(key, safe="")) + len("&task=") for key in keys)
    return [key for key, length in zip(keys[:MAX_BATCH], lengths, strict=False) if length <= _MAX_KEYS]


def _read_key(key: str) -> tuple[str, str]:
    queue, _, task_id = key.partition(":")
    if not queue or not task_id:
        raise Problem(400, "Refused", f"{key!r} is not a queue and the id of a task.")
    return unquote(queue), task_id


def _each_queue(chosen: Iterable[tuple[str, str]], did: str, call: Callable[[str, Sequence[str]], TaskAnswer]) -> str:
    """Call for each task, until the time is over; return what was done in words."""
    ends, done, left = time.monotonic() + MAX_SECONDS, 0, dict.fromkeys(("claimed", "dead", "missing", "late"), 0)
    reasons: dict[str, str] = {}
    for queue, task_id in chosen:
        if time.monotonic() > ends:
            left["late"] += 1
            continue
        answer = call(queue, [task_id])
        done += bool(answer.tasks)
        left["claimed"] += bool(answer.claimed)
        left["dead"] += bool(answer.dead_letters)
        left["missing"] += len(answer.missing)
        reasons.update(answer.unreachable)
    return " ".join([f"{did} {counted(done, 'task')}.", *_remaining(left), *reasons.values()])


def _remaining(left: Mapping[str, int]) -> list[str]:
    texts = {
        "claimed": "held by a worker, and left alone: celery control revoke stops those.",
        "dead": "dead letters, and left alone.",
        "missing": "not waiting any more.",
        "late": "not reached in time: do it again.",
    }
    return [f"{left[name]} {text}" for name, text in texts.items() if left[name]]


routes = [
    Route("/tasks", show, name="tasks"),
    Route("/tasks/cancel", cancel, methods=["POST"], name="cancel"),
    Route("/tasks/now", run_now, methods=["POST"], name="now"),
    Route("/tasks/reschedule", reschedule, methods=["POST"], name="reschedule"),
]
