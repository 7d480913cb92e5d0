"""What holds for every page: no complaint of the browser, accessible, no wider than the screen."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from localcloud.testing import LocalCloud
from localcloud.testing.waiting import wait_until
from playwright.sync_api import Page

from tests.browser.conftest import ADMIN, Visit, enqueue_at

pytestmark = pytest.mark.slow

PAGES = [
    "/",
    "/?prefix=nobody",
    "/admin",
    "/admin?window=start",
    "/admin/counters/seen",
    "/counters/seen?span=hour",
    "/admin/history?span=hour",
    "/admin/activity",
    "/admin/find",
    "/admin/tasks/{task}?kind=update-counter",
    "/admin/retrying",
    "/admin/kept",
    "/admin/kept?state=discarded",
    "/admin/kept/task?id={task}@update-counter",
    "/admin/kept/all?reason={reason}&action=discard",
    "/admin/queues/counter-updates-0/purge",
    "/admin/retrying/counter-updates-0/gone/delete",
]


@pytest.fixture(scope="module")
def filled() -> dict[int, dict[str, str]]:
    """What fills the pages, by the process id of the cloud that holds it."""
    return {}


@pytest.fixture
def kept(cloud: LocalCloud, filled: dict[int, dict[str, str]]) -> dict[str, str]:
    """What fills the pages: a counter, a kept task and its reason."""
    if cloud.pid not in filled:
        filled[cloud.pid] = fill(cloud)
    return filled[cloud.pid]


def fill(cloud: LocalCloud) -> dict[str, str]:
    def call(path: str, **options: Any) -> Any:
        request = urllib.request.Request(cloud.url + path, **options)
        request.add_header("Cookie", cloud.sign_in(ADMIN))
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    call("/api/counters/seen/increments", data=b'{"amount": 123456}')
    task = enqueue_at(
        cloud, b'{"counter": "a-name-that-is-long-enough-to-need-wrapping", "amount": "<b>no</b>"}'
    )
    wait_until(lambda: call("/admin/statistics.json")["kept"]["count"], "a task to be rejected")
    wait_until(lambda: call("/api/counters?prefix=seen")["counters"], "the counter to be there")
    reason = call("/admin/statistics.json")["kept"]["reasons"][0]["reason"]
    return {"task": task, "reason": reason.replace(" ", "+")}


@pytest.mark.parametrize("path", PAGES)
def test_it_is_accessible_fits_the_screen_and_the_browser_has_no_complaint(
    visit: Visit, kept: dict[str, str], path: str
) -> None:
    page = visit(ADMIN).open(path.format(**kept))
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, {"runOnly": ["color-contrast"]}) == []
    for width in (768, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page, {"runOnly": ["scrollable-region-focusable", "target-size"]}) == []


def violations(page: Page, options: dict[str, Any] | None = None) -> list[str]:
    """What axe finds that matters: the rule, and the markup that breaks it."""
    found = Axe().run(page, options=options)
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']]}"
        for each in found.response["violations"]
        if each["impact"] != "minor"
    ]


def test_dark_mode_is_dark_and_light_mode_light(visit: Visit) -> None:
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert sum(visit(color_scheme="light").open("/").evaluate(brightness)) > 690
    assert sum(visit(color_scheme="dark").open("/").evaluate(brightness)) < 90


def test_nothing_moves_for_those_who_asked_for_that(visit: Visit) -> None:
    page = visit(reduced_motion="reduce").open("/")
    page.evaluate("document.querySelector('h1').classList.add('is-new')")
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).animationName") == "none"


def test_a_page_that_is_not_there_is_still_a_page(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/nothing-here")
    assert page.locator("h1").inner_text() == "Not Found"
    assert len(visitor.problems) == 1  # the browser's own line about the 404
    visitor.problems.clear()


@pytest.mark.parametrize(
    "path",
    ["/static/pushtasks/live.js", "/static/pushtasks/style.css", "/static/counters.css", "/favicon.ico"],
)
def test_static_files_carry_security_headers_too(cloud: LocalCloud, path: str) -> None:
    with urllib.request.urlopen(cloud.url + path) as answer:
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"


def test_a_new_version_of_the_pages_brings_its_own_style_and_script(cloud: LocalCloud, visit: Visit) -> None:
    visitor = visit(ADMIN)
    versions = set()
    for address in (cloud.url + "/", cloud.url + "/admin", cloud.service_url("worker") + "/update-counter"):
        visitor.page.goto(address)
        found = re.findall(r'"/static/(\S+\.(?:css|js))\?v=(\w+)"', visitor.page.content())
        own = [] if address.endswith("/admin") else ["counters.css"]
        assert [name for name, _ in found] == ["pushtasks/style.css", *own, "pushtasks/live.js"], address
        versions |= {version for _, version in found}

    assert len(versions) == 1, "GAE_VERSION, which App Engine changes with each deployment"
