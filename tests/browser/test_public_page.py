"""The public page in a browser: press, and watch the number arrive."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from localcloud.testing import LocalCloud
from playwright.sync_api import expect

from tests.browser.conftest import ADMIN, Visit, Visitor

pytestmark = pytest.mark.slow


def test_an_increment_is_sent_and_seen_to_arrive_without_leaving_the_page(visit: Visit, name: str) -> None:
    page = visit().open("/")
    page.evaluate("window.stillHere = true")
    page.get_by_label("Counter", exact=True).fill(name)
    page.get_by_label("Amount").fill("5")
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.locator("#arrival")).to_contain_text(f"{name} is now 5.")
    plus = page.get_by_role("button", name=f"Add one to {name}")
    plus.click()
    expect(page.locator("#arrival")).to_contain_text(f"{name} is now 6.")
    expect(page.locator(f'[data-value="{name}"]')).to_have_text("6")
    plus.click()
    expect(page.locator(f'[data-value="{name}"]')).to_have_text("7")
    assert page.evaluate("window.stillHere") is True


def test_the_counter_itself_shows_what_is_on_its_way(visit: Visit, name: str) -> None:
    page = visit().open("/")
    page.get_by_label("Counter", exact=True).fill(name)
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.locator(f'[data-value="{name}"]')).to_have_text("1")
    admin = visit(ADMIN).open("/admin")
    try:
        for left in (3, 2, 1, 0):
            admin.get_by_role("button", name="Pause").first.click()
            expect(admin.get_by_role("button", name="Pause")).to_have_count(left)
        page.get_by_role("button", name=f"Add one to {name}").click()
        expect(page.locator("li.arriving")).to_contain_text(name)
    finally:
        for left in (3, 2, 1, 0):
            admin.get_by_role("button", name="Resume").first.click()
            expect(admin.get_by_role("button", name="Resume")).to_have_count(left)
    expect(page.locator(f'[data-value="{name}"]')).to_have_text("2")
    expect(page.locator("li.arriving")).to_have_count(0)


def test_pressing_many_times_counts_each_press(visit: Visit, name: str) -> None:
    page = visit().open("/")
    page.get_by_label("Counter", exact=True).fill(name)
    page.get_by_role("button", name="Count", exact=True).click()
    value = page.locator(f'[data-value="{name}"]')
    expect(value).to_have_text("1")
    for presses in range(2, 7):
        page.get_by_role("button", name=f"Add one to {name}").click()
        expect(value).to_have_text(str(presses))


def test_it_works_without_script(visit: Visit, name: str) -> None:
    page = visit(java_script_enabled=False).open("/")
    page.get_by_label("Counter", exact=True).fill(name)
    page.get_by_label("Amount").fill("3")
    page.get_by_role("button", name="Count", exact=True).click()
    page.wait_for_url("**/?task=*")
    for _ in range(100):
        if page.get_by_text(f"{name} is now 3.").count():
            break
        page.reload()
    expect(page.locator("#arrival")).to_contain_text(f"{name} is now 3.")
    page.get_by_role("button", name=f"Add one to {name}").click()
    page.wait_for_url("**/?task=*")


def test_a_mistake_is_explained_in_place(visit: Visit, name: str) -> None:
    visitor = visit()
    page = visitor.open("/")
    page.get_by_label("Counter", exact=True).fill(name)
    page.get_by_label("Amount").fill("0")
    page.get_by_role("button", name="Count", exact=True).click()
    expect(page.get_by_role("heading", name="Bad Request")).to_be_visible()
    expect(page.get_by_text("amount is '0'. Expected a whole number")).to_be_visible()
    # The browser's own line about the 400.
    assert len(visitor.problems) == 1
    assert "400" in visitor.problems.pop()


def test_others_increments_show_by_themselves(visit: Visit, name: str) -> None:
    visitor = visit()
    page = visitor.open(f"/?prefix={name}")
    answer = page.request.post(
        f"{visitor.url}/api/counters/{name}/increments", data={"amount": 41}, headers={"Accept": "*/*"}
    )
    assert answer.status == 202
    expect(page.locator(f'[data-value="{name}"]')).to_have_text("41")


def test_while_datastore_is_silent_the_page_says_so_and_keeps_its_buttons(
    cloud: LocalCloud, visit_cloud: Callable[..., Visitor], name: str
) -> None:
    page = visit_cloud(cloud).open("/")
    page.get_by_label("Counter", exact=True).fill(name)
    page.get_by_role("button", name="Count", exact=True).click()
    value, plus = (
        page.locator(f'[data-value="{name}"]'),
        page.get_by_role("button", name=f"Add one to {name}"),
    )
    expect(value).to_have_text("1")
    datastore = int(cloud.state["processes"]["datastore"]["pid"])
    os.kill(datastore, signal.SIGSTOP)
    try:
        expect(page.locator("#arrival")).to_contain_text("can't be read just now", timeout=30_000)
        expect(value).to_have_text("1")
        expect(plus).to_be_enabled()
        expect(page.get_by_role("button", name="Count", exact=True)).to_be_enabled()
        assert "504" not in page.inner_text("main")
    finally:
        os.kill(datastore, signal.SIGCONT)
    expect(page.locator("#arrival")).not_to_contain_text("can't be read", timeout=30_000)
    plus.click()
    expect(value).to_have_text("2")
