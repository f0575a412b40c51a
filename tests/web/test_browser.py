"""The pages in a browser: how they look, by the keyboard, as they refresh, and without a script."""

from __future__ import annotations

import io
import os
import platform
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from kombu_pool.operator.broker import BrokerUrl, open_broker
from tests.support.limits import LIMIT
from tests.support.servers.programs import require, skip_or_fail
from tests.support.web.shop import fill, post, task, trade
from tests.support.web.site import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Set to write the pictures of the documentation.
PICTURES = "KOMBU_POOL_PICTURES"
FOLDER = Path(__file__).parents[2] / "docs" / "images" / "web"
PAGES = {
    "queues": "/",
    "queue": "/queue?name=orders",
    "unacked": "/queue?name=images&kind=unacked",
    "tasks": "/tasks?name=*resize*&state=delayed",
    "task-names": "/tasks",
    "dead-queues": "/dead",
    "dead-letters": "/dead?name=failed",
    "pools": "/pools",
    "moves": "/moves",
    "moving-queue": "/queue?name=exports",
    "workers": "/workers",
    "audit": "/audit",
    "strange-names": "/queue?name=mail",
}
_RENAME = """([pattern, text]) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replace(new RegExp(pattern), text);
}"""
WIDTHS = {"wide": 1280, "narrow": 390}


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    return fill(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def site(url) -> Iterator[str]:
    every = "1s" if os.environ.get(PICTURES) else "500ms"
    with serving(url, "--every", every, "--show-bodies") as address:
        if not os.environ.get(PICTURES):
            yield address
            return
        is_over = threading.Event()
        with open_broker(BrokerUrl(url)) as broker:
            trader = threading.Thread(target=trade, args=(broker, is_over, 0.4))
            trader.start()
            httpx.get(address)
            is_over.wait(50)
            yield address
            is_over.set()
            trader.join(LIMIT)


@pytest.fixture(scope="module")
def browser():
    program = require("chromium")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a browser may be missing
    except ImportError:
        skip_or_fail("playwright is not installed; pip install playwright")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@contextmanager
def opened(browser, site, **options):
    """Yield a page that fails the test if the browser complains of anything, or asks another server."""
    context = browser.new_context(base_url=site, reduced_motion="reduce", **options)
    context.set_default_timeout(LIMIT * 1000)
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(site) else complaints.append(request.url))
    try:
        yield page
        assert complaints == []
    finally:
        context.close()


def picture(page, name: str) -> None:
    """Write a picture of a page, with few colors, if that is asked."""
    if os.environ.get(PICTURES):
        from PIL import Image  # noqa: PLC0415 - only to write pictures

        # Where the pools of a site would be.
        page.evaluate(_RENAME, ["/tmp/[^\\s]*?/shop\\d+", "/var/lib/shop"])
        page.evaluate(_RENAME, [rf"^\s*{platform.node()}\b", "web-1"])
        image = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        FOLDER.mkdir(parents=True, exist_ok=True)
        image.convert("RGB").quantize(96, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(
            FOLDER / f"{name}.png", optimize=True
        )


def test_an_action_is_taken_by_the_keyboard_alone(browser, site):
    with opened(browser, site) as page:
        page.goto("/queue?name=orders.priority")
        press_tab_until(page, "Pause")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        page.keyboard.press("Enter")
        page.get_by_role("status").get_by_text("Paused orders.priority.").wait_for()
        press_tab_until(page, "Purge")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Delete 0 ready messages").wait_for()
        page.locator("button:focus", has_text="Purge").wait_for()
        page.keyboard.press("Enter")

        page.get_by_role("status").get_by_text("Deleted 0 messages from orders.priority.").wait_for()
        assert outline == "solid"


def test_a_queue_is_moved_by_the_keyboard_and_its_move_is_followed(browser, site):
    with opened(browser, site) as page:
        page.goto("/queue?name=statements")
        page.get_by_label("Drain").check()
        page.get_by_label("Copy").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        press_tab_until(page, "Move")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Move statements with 40 messages from").wait_for()
        page.locator("button:focus", has_text="Move").wait_for()
        page.keyboard.press("Enter")

        page.get_by_role("status").get_by_text("Moving statements from").wait_for()
        # A worker holds two.
        move = page.get_by_role("group", name="Move", exact=True)
        move.get_by_text("38 copied, 2 left, 2 of them held").wait_for()
        assert move.get_by_role("progressbar").evaluate("bar => bar.value") == 38
        page.goto("/moves")
        page.locator("tr[data-key=statements] td[data-label=Phase]", has_text="draining").wait_for()


def press_tab_until(page, text: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    pytest.fail(f"The key Tab does not lead to {text!r}")


def test_a_page_refreshes_itself_and_keeps_what_a_reader_typed(browser, site, url):
    with opened(browser, site) as page, open_broker(BrokerUrl(url)) as broker:
        page.goto("/queue?name=reports.nightly")
        page.locator(".live[data-state=live]").wait_for()
        page.get_by_label("Only tasks named").fill("shop.")
        post(broker, "reports.nightly", *(task("shop.tasks.report", f"day-{number}") for number in range(3)))

        page.locator("dl.totals div", has_text="Ready").get_by_text("3", exact=True).wait_for()

        assert page.get_by_label("Only tasks named").input_value() == "shop."
        page.goto("/")
        row = page.locator("tr", has=page.get_by_role("link", name="reports.nightly", exact=True))
        post(broker, "reports.nightly", task("shop.tasks.report", "day-9"))
        row.locator("td[data-label=Ready]", has_text="4").wait_for()


def test_a_list_is_filtered_and_acted_on_without_a_script(browser, site, url):
    with opened(browser, site, java_script_enabled=False) as page, open_broker(BrokerUrl(url)) as broker:
        post(broker, "search.index", *(task("shop.index", f"index-{number}") for number in range(3)))
        page.goto("/tasks")
        page.get_by_label("Name or pattern").fill("shop.index")
        page.get_by_role("button", name="Find").click()
        page.get_by_role("checkbox", name="index-1").check()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel").click()

        page.get_by_role("status").get_by_text("Cancelled 1 task.").wait_for()
        assert [page.get_by_role("checkbox", name=f"index-{number}").count() for number in range(3)] == [1, 0, 1]


def test_names_with_markup_and_control_characters_are_text(browser, site):
    with opened(browser, site) as page:
        page.goto("/queue?name=mail")
        page.get_by_text("shop.\\x1b[31mred\\r\\n<b>bold</b>").first.wait_for()
        page.goto("/")
        page.get_by_text("<script>alert(1)</script>").first.wait_for()

        assert page.locator("main b, main script").count() == 0


def test_the_page_of_workers_shows_which_worker_holds_which_task(browser, site):
    with opened(browser, site) as page:
        page.goto("/workers")
        held = page.locator("table").nth(1).locator("tbody tr")
        worker = page.locator("table").nth(0).locator("tbody tr", has_text="worker-2")

        # Messages of queues that are moving are held in the pool that the queue leaves.
        assert sorted(" ".join(text.split()[:4]) for text in held.all_inner_texts()) == sorted(
            [
                *(f"worker-1 4700 shop.tasks.send_receipt receipt-{number:04}" for number in range(2)),
                *(f"worker-2 4701 shop.tasks.resize_image image-{number:04}" for number in (2, 5, 8, 11)),
                *(f"worker-2 4701 shop.tasks.export exports-{number}" for number in range(7)),
                *(f"worker-2 4701 shop.tasks.export statements-{number}" for number in range(2)),
            ]
        )
        assert worker.locator("td[data-label=Holds]").inner_text() == "13"
        held.filter(has_text="image").first.get_by_role("link", name="images").click()
        page.get_by_label("State").select_option("unacked")
        page.get_by_role("button", name="Show").click()
        page.get_by_text("image-0011").wait_for()


def test_all_that_are_listed_are_checked_at_once(browser, site):
    with opened(browser, site) as page:
        page.goto("/dead?name=failed")
        page.get_by_label("Check all").check()

        assert page.locator("tbody input:checked").count() == page.locator("tbody tr").count() > 0


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_on_every_screen(browser, site, name):
    with opened(browser, site) as page:
        page.goto(PAGES[name])
        page.locator("h1").wait_for()
        for screen, width in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": 800})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)

                assert page.evaluate("document.documentElement.scrollWidth") <= width
                background = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (sum(map(int, background[4:-1].split(","))) > 384) == (scheme == "light")
                picture(page, f"{name}-{scheme}-{screen}")
