"""The page of all queues."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from kombu_pool.operator.queues import QueueTotals, is_internal
from kombu_pool.web.pages.layout import page
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from kombu_pool.operator.queues import QueueReport, QueueRow

#: Queues of one page.
PAGE_SIZE = 100
#: The orders, each with the attribute of a row; those of numbers begin with the highest.
ORDERS = {
    "name": "queue", "pool": "pool", "ready": "ready", "delayed": "delayed", "unacked": "claimed",
    "oldest": "oldest_age", "in": "rate_in", "out": "rate_out", "consumers": "consumers",
}  # fmt: skip
_TEXTS = frozenset({"name", "pool"})


@dataclass(frozen=True)
class Choice:
    """What a reader has chosen to see, and its query."""

    pattern: str
    pool: str
    order: str
    internal: bool
    page: int

    @classmethod
    def of(cls, request: Request) -> Choice:
        """Return what the query of a page chooses; what it does not know is left out."""
        given = request.query_params
        order, number = given.get("sort", "name"), given.get("page", "1")
        return cls(
            given.get("q", "").strip(),
            given.get("pool", ""),
            order if order in ORDERS else "name",
            given.get("all") == "1",
            max(int(number), 1) if number.isdecimal() and len(number) < 9 else 1,  # noqa: PLR2004
        )

    def query(self, **changes: Any) -> dict[str, Any]:
        """Return the query of this choice, with changes; what is the default has no value."""
        own = {
            "q": self.pattern,
            "pool": self.pool,
            "sort": "" if self.order == "name" else self.order,
            "all": "1" if self.internal else "",
            "page": "" if self.page == 1 else self.page,
        }
        return {**own, **changes}

    def matches(self, row: QueueRow) -> bool:
        """Return whether a queue is wanted: its name has the text in it, or matches the pattern."""
        name = row.queue.lower()
        pattern = self.pattern.lower()
        if self.pool and row.pool != self.pool:
            return False
        if not self.internal and is_internal(row.queue, row.pool):
            return False
        return fnmatchcase(name, pattern) if any(one in pattern for one in "*?[") else pattern in name

    def sorted(self, rows: Sequence[QueueRow]) -> list[QueueRow]:
        """Return the rows in order."""
        attribute = ORDERS[self.order]
        if self.order in _TEXTS:
            return sorted(rows, key=lambda row: (getattr(row, attribute), row.queue))
        return sorted(rows, key=lambda row: (-_known(getattr(row, attribute)), row.queue))


def _known(value: float | None) -> float:
    return float("-inf") if value is None else value


def show(request: Request) -> Response:
    """Show the queues."""
    choice = Choice.of(request)
    values = {"choice": choice, "orders": ORDERS, "pools": _pools(site_of(request).sampler.latest())}
    return page(
        request, "queues.html", live(request), path_for(request, "events", "queues", **choice.query()), **values
    )


def _pools(report: QueueReport) -> list[str]:
    return sorted({row.pool for row in report.queues})


def live(request: Request) -> str:
    """Return the totals and the table."""
    site, choice = site_of(request), Choice.of(request)
    report = site.sampler.latest()
    rows = choice.sorted([row for row in report.queues if choice.matches(row)])
    begin = (choice.page - 1) * PAGE_SIZE
    return render_text(
        request,
        "_queues.html",
        rows=rows[begin : begin + PAGE_SIZE],
        charts={row.queue: site.sampler.points(row.queue) for row in rows[begin : begin + PAGE_SIZE]},
        totals=QueueTotals.of(rows),
        rates=(_sum(rows, "rate_in"), _sum(rows, "rate_out")),
        hidden=0 if choice.internal else sum(is_internal(row.queue, row.pool) for row in report.queues),
        pages=-(-len(rows) // PAGE_SIZE),
        choice=choice,
        unreachable=report.unreachable,
        columns=_COLUMNS,
    )


#: The columns of numbers, each with its order.
_COLUMNS = (
    ("Ready", "ready"), ("Delayed", "delayed"), ("Unacked", "unacked"), ("Oldest", "oldest"), ("In/s", "in"),
    ("Out/s", "out"), ("Consumers", "consumers"),
)  # fmt: skip


def _sum(rows: Sequence[QueueRow], attribute: str) -> float | None:
    known = [getattr(row, attribute) for row in rows if getattr(row, attribute) is not None]
    return sum(known) if known else None


routes = [Route("/", show, name="queues")]
