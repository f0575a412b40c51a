"""The parameters of lists: which columns of the objects, in which order, and which page of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.web.management.errors import BAD_REQUEST, ApiError, bad_request
from kombu_pool.web.management.name_patterns import NamePattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.datastructures import QueryParams

#: The number of objects on a page without ``page_size``, and the most.
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 500


class Page(NamedTuple):
    """A page of those objects whose name matches; the first page has the number 1."""

    number: int
    size: int
    pattern: NamePattern | None

    @classmethod
    def of(cls, query: QueryParams) -> Page | None:
        """Return the page that a query asks for; None if it asks for all objects, whatever their names."""
        if "page" not in query:
            return None
        try:
            number, size = int(query["page"]), int(query.get("page_size", DEFAULT_PAGE_SIZE))
            name, is_regex = query.get("name", ""), query.get("use_regex") == "true"
            pattern = NamePattern(name, is_regex=is_regex) if name else None
        except (ValueError, re.error, OverflowError) as error:
            raise _invalid(error) from error
        if number < 1 or not 1 <= size <= MAX_PAGE_SIZE:
            reason = f"Invalid pagination parameters: page number {number}, page size {size}"
            raise ApiError(BAD_REQUEST, "invalid_pagination_parameters", f"{reason}: at most {MAX_PAGE_SIZE}")
        return cls(number, size, pattern)

    def has(self, name: str) -> bool:
        """Return whether an object of that name is on one of the pages."""
        try:
            return self.pattern is None or self.pattern.is_in(name)
        except ValueError as error:
            raise _invalid(error) from error

    def cut(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return those of the objects that are on this page."""
        first = (self.number - 1) * self.size
        if self.number > 1 and first >= len(values):
            reason = f"Page out of range, page: {self.number} page size: {self.size}, len: {len(values)}"
            raise ApiError(BAD_REQUEST, "page_out_of_range", reason)
        return values[first : first + self.size]

    def described(self, items: Sequence[Any], filtered: int, total: int) -> dict[str, Any]:
        """Return the document of this page with its items."""
        return {
            "filtered_count": filtered,
            "item_count": len(items),
            "items": items,
            "page": self.number,
            "page_count": -(-filtered // self.size),
            "page_size": self.size,
            "total_count": total,
        }


def _invalid(error: Exception) -> ApiError:
    return bad_request(f"Pagination parameters are invalid: {error}")


class Listing(NamedTuple):
    """What a query asks of a list; ``columns`` are paths of keys, none means all."""

    columns: Sequence[Sequence[str]]
    sort: str
    reverse: bool
    page: Page | None

    @classmethod
    def of(cls, query: QueryParams) -> Listing:
        """Return what a query asks for."""
        reverse = query.get("sort_reverse", "false")
        if reverse not in ("true", "false"):
            raise bad_request(f"sort_reverse must be true or false, not {reverse!r}")
        columns = [name.split(".") for name in query.get("columns", "").split(",") if name]
        return cls(columns, query.get("sort", ""), reverse == "true", Page.of(query))

    @property
    def is_by_name(self) -> bool:
        """Whether the order of the objects needs nothing but their names."""
        return self.sort in {"", "name"}

    def arranged(self, values: Sequence[Mapping[str, Any]]) -> Any:
        """Return the document of a list: all objects in order, or a page of them; with their columns."""
        if self.page is None:
            return [self.columns_of(value) for value in self.ordered(values)]
        kept = [value for value in values if self.page.has(str(value.get("name", "")))]
        items = self.page.cut(self.ordered(kept))
        return self.page.described([self.columns_of(value) for value in items], len(kept), len(values))

    def ordered(self, values: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return objects in order; those without the sort key come first."""
        if not self.sort:
            return values[::-1] if self.reverse else values
        path = self.sort.split(".")
        return sorted(values, key=lambda value: _sort_key(_found(value, path)), reverse=self.reverse)

    def columns_of(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an object with its columns only."""
        return value if not self.columns else _columns(value, self.columns)


def _columns(value: Mapping[str, Any], columns: Sequence[Sequence[str]]) -> dict[str, Any]:
    below: dict[str, list[Sequence[str]]] = {}
    for first, *rest in columns:
        if first in value:
            below.setdefault(first, []).append(rest)
    return {key: _part(value[key], paths) for key, paths in below.items()}


def _part(value: Any, paths: Sequence[Sequence[str]]) -> Any:
    return _columns(value, paths) if isinstance(value, dict) and all(paths) else value


def _found(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, int | float) else (2, str(value))
