"""The forms of a page, filled in and sent as a browser without a script does."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx import Response
    from starlette.testclient import TestClient


@dataclass
class Form:
    """A form: where it is sent, its fields, the values of its check boxes, its buttons with where they send it."""

    action: str
    fields: dict[str, list[str]]
    boxes: dict[str, list[str]]
    buttons: dict[str, str]


class _Forms(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page
        self.forms: list[Form] = []
        self._select: str | None = None
        self._button: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(urljoin(self._page, given.get("action", "")), {}, {}, {}))
        elif tag == "input" and given.get("type") == "radio" and "checked" not in given:
            return
        elif tag == "input" and "name" in given:
            target = self.forms[-1].boxes if given.get("type") == "checkbox" else self.forms[-1].fields
            target.setdefault(given["name"], []).append(given.get("value", ""))
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and self._select and self._select not in self.forms[-1].fields:
            self.forms[-1].fields[self._select] = [given.get("value", "")]
        elif tag == "button":
            self._button = given.get("formaction", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        elif tag == "button":
            self._button = None

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            form = self.forms[-1]
            form.buttons[data.strip()] = urljoin(self._page, self._button) if self._button else form.action


def forms(page: str, path: str = "/") -> list[Form]:
    """Return the forms of a page."""
    parser = _Forms(path)
    parser.feed(page)
    return parser.forms


def press(client: TestClient, path: str, button: str, given: Mapping[str, Any] | None = None) -> Response:
    """Press a button of a page, confirm it if that is asked, and return the page that the browser shows then."""
    page = client.get(path)
    while True:
        form = next(form for form in forms(page.text, path) if button in form.buttons or "confirmed" in form.fields)
        # A question may have a button of another name.
        page = client.post(form.buttons.get(button, form.action), data={**form.fields, **(given or {})})
        if page.status_code == 303:
            return client.get(page.headers["location"])
        if 'name="confirmed"' not in page.text:
            return page
        path, given = str(page.url), None
