"""The dashboard in a browser: who gets in, what is live, what can be done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ADMIN, OUTSIDER, READER, Visit, Visitor, start_cloud

pytestmark = pytest.mark.slow


def _increment(page: Page, name: str, amount: int = 1) -> None:
    origin = "/".join(page.url.split("/")[:3])
    answer = page.request.post(f"{origin}/api/counters/{name}/increments", data={"amount": amount})
    assert answer.status == 202


def _choose(page: Page, refresh: str) -> None:
    page.get_by_label("Refresh").select_option(label=refresh)


def test_an_administrator_signs_in_and_sees_the_dashboard(visit: Visit) -> None:
    page = visit().open("/admin")
    assert "/_ah/login" in page.url
    page.locator("input[name=email]").fill(ADMIN)
    page.locator("input[name=admin]").check()
    page.locator("form button").first.click()
    page.wait_for_url("**/admin")
    expect(page.locator(".who")).to_contain_text(ADMIN)
    expect(page.locator(".who")).to_contain_text("may change")
    expect(page.locator("#verdict .level")).to_have_text(re.compile("OK|Degraded|Failing"))


def test_a_reader_sees_everything_and_changes_nothing(visit: Visit) -> None:
    page = visit(READER).open("/admin")
    expect(page.locator(".who")).to_contain_text("read only")
    expect(page.get_by_role("heading", name="Queues")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_an_outsider_is_shown_nothing(visit: Visit) -> None:
    visitor = visit(OUTSIDER)
    page = visitor.open("/admin")
    expect(page.locator("#verdict")).to_have_count(0)
    assert ADMIN not in page.content()
    visitor.problems.clear()  # the browser's own line about the refusal


def test_figures_change_by_themselves(visit: Visit, name: str) -> None:
    page = visit(ADMIN).open(f"/admin?prefix={name}")
    _choose(page, "every 2 s")
    _increment(page, name, 12)
    value = page.locator(f'#counters [data-value="{name}"]')
    expect(value).to_have_text("12")
    _increment(page, name, 30)
    expect(value).to_have_text("42")
    expect(page.locator("#liveness")).to_have_text("Live; as of")


def test_times_are_in_the_viewers_zone_with_utc_on_hover(visit: Visit) -> None:
    page = visit(ADMIN, timezone_id="Asia/Tokyo", locale="en-GB").open("/admin")
    time = page.locator("#as-of time")
    expect(time).to_have_attribute("title", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
    utc = str(time.get_attribute("title"))
    hour = (int(utc[11:13]) + 9) % 24
    expect(time).to_have_text(re.compile(f"^{hour:02d}:{utc[14:16]}:{utc[17:19]}$"))


def test_minutes_are_in_the_viewers_zone_too_latest_first(visit: Visit, name: str) -> None:
    page = visit(ADMIN, timezone_id="Asia/Kathmandu", locale="en-GB").open("/admin")
    page.locator("#minutes summary").click()
    times = page.locator("#minutes tbody time")
    expect(times).to_have_count(60)
    utc = str(times.first.get_attribute("title"))
    minute = (int(utc[:2]) * 60 + int(utc[3:5]) + 345) % 1440
    expect(times.first).to_have_text(f"{minute // 60:02d}:{minute % 60:02d}")
    assert str(times.first.get_attribute("datetime")) > str(times.last.get_attribute("datetime"))
    _increment(page, name)
    hint = page.locator("#minutes svg g title").last
    expect(hint).to_have_text(re.compile(r"^\d\d:\d\d: "))


def test_what_was_done_is_said_in_sight_of_the_button(visit: Visit) -> None:
    page = visit(ADMIN).open("/admin")
    row = page.locator("#queues tr", has_text="counter-updates-1")
    row.scroll_into_view_if_needed()
    row.get_by_role("button", name="Pause").click()
    expect(page.locator("#did")).to_be_in_viewport()
    row.get_by_role("button", name="Resume").click()
    expect(page.locator("#did")).to_contain_text("Resume, queue counter-updates-1")


def test_all_tasks_of_a_page_are_ticked_at_once(visit: Visit, enqueue: Callable[..., str]) -> None:
    tasks = [enqueue(b'{"amount": 1}') for _ in range(2)]
    page = visit(ADMIN).open("/admin")
    for task in tasks:
        page.wait_for_function(
            "task => fetch(`/api/tasks/${task}`).then(r => r.json()).then(t => t.state === 'rejected')",
            arg=task,
        )
    page.goto(page.url.split("/admin")[0] + "/admin/kept")
    boxes = page.locator("input[name=id]")
    every = page.get_by_label("Select all on this page")
    every.check()
    for box in boxes.all():
        expect(box).to_be_checked()
    boxes.first.uncheck()
    expect(every).not_to_be_checked()


@pytest.mark.parametrize("width", [360, 640, 993, 1153])
def test_on_a_phone_or_tablet_no_button_is_out_of_sight(visit: Visit, width: int) -> None:
    page = visit(ADMIN, width=width).open("/admin")
    inside = page.locator("#queues").bounding_box()
    assert inside is not None
    for button in page.locator("#queues .actions").locator("a, button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= inside["x"] + inside["width"], button


def test_refreshing_can_be_turned_off_and_the_choice_is_kept(visit: Visit, name: str) -> None:
    page = visit(ADMIN).open(f"/admin?prefix={name}")
    _choose(page, "off")
    page.reload()
    expect(page.get_by_label("Refresh")).to_have_value("0")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _increment(page, name)
    page.wait_for_timeout(2500)
    assert asked == []


def test_a_hidden_tab_asks_for_nothing_until_it_is_seen_again(visit: Visit) -> None:
    page = visit(ADMIN).open("/admin")
    hide = "value => { Object.defineProperty(document, 'hidden', { value, configurable: true }); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    _choose(page, "every 2 s")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(3000)
    assert asked == []
    with page.expect_request("**/admin/live*"):
        page.evaluate(hide, False)


def test_an_empty_chart_says_so_inside_its_lines(tmp_path: Path, visit_cloud: Callable[..., Visitor]) -> None:
    with start_cloud(tmp_path / "data") as cloud:
        plots = visit_cloud(cloud, ADMIN).open("/admin").locator(".plot").all()
        for plot in plots:
            scale, chart, nothing, axis = (
                plot.locator(part).bounding_box() for part in (".scale", ".chart", ".nothing", ".axis")
            )
            assert scale and chart and nothing and axis
            assert scale["x"] + scale["width"] <= chart["x"] <= nothing["x"]
            assert chart["y"] < nothing["y"] < nothing["y"] + nothing["height"] < chart["y"] + chart["height"]
            assert axis["y"] >= chart["y"] + chart["height"]
        assert len(plots) == 3


def test_when_the_service_is_gone_the_page_says_that_it_is_stale(
    tmp_path: Path, visit_cloud: Callable[..., Visitor]
) -> None:
    with start_cloud(tmp_path / "data") as cloud:
        page = visit_cloud(cloud, ADMIN).open("/admin")
        _choose(page, "every 2 s")
        expect(page.locator("#liveness")).to_have_text("Live; as of")
        cloud.stop()
        expect(page.locator("#liveness")).to_have_text(re.compile("^(Stale|Failed to refresh); as of$"))
        expect(page.locator("#controls")).to_have_class(re.compile("is-failed"))
        expect(page.locator("#verdict")).to_be_visible()


def test_a_queue_is_paused_and_resumed_in_place(visit: Visit) -> None:
    page = visit(ADMIN).open("/admin")
    page.evaluate("window.stillHere = true")
    row = page.locator("#queues tr", has_text="counter-updates-2")
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    expect(page.locator("#verdict")).to_contain_text("The queue counter-updates-2 is paused")
    expect(page.locator("#queues-state")).to_contain_text("1 of 4 queues paused")
    expect(page.locator("#did")).to_contain_text("Pause, queue counter-updates-2")
    expect(page.locator("#actions tbody tr").first).to_contain_text(ADMIN)
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("running")
    assert page.evaluate("window.stillHere") is True


def test_a_rejected_task_is_edited_and_enqueued_again_by_a_double_click_once(
    visit: Visit, name: str, enqueue: Callable[..., str]
) -> None:
    task = enqueue(json.dumps({"counter": name, "amount": "seven"}).encode())
    page = visit(ADMIN).open("/admin")
    page.wait_for_function(
        "task => fetch(`/api/tasks/${task}`).then(r => r.json()).then(t => t.state === 'rejected')", arg=task
    )
    page.goto(page.url.split("/admin")[0] + f"/admin/kept/task?id={task}@update-counter")
    expect(page.locator("pre").first).to_contain_text('"seven"')
    page.get_by_label("Payload").fill(json.dumps({"counter": name, "amount": 7}))
    page.get_by_role("button", name="Enqueue again").dblclick()
    expect(page.locator("#did")).to_contain_text("enqueued again")
    page.goto(page.url.split("/admin")[0] + f"/admin?prefix={name}")
    expect(page.locator(f'#counters [data-value="{name}"]')).to_have_text("7")
    _choose(page, "every 2 s")
    value, increments, tasks, _ = page.locator("#counters tbody td.num").all()
    for cell, text in ((value, "7"), (increments, "1"), (tasks, "1")):
        expect(cell).to_have_text(text)


def test_a_task_between_retries_is_deleted_after_asking(visit: Visit, enqueue: Callable[..., str]) -> None:
    task = enqueue(b"{}", "/nobody-answers", "counter-updates-1")
    page = visit(ADMIN).open(f"/admin/retrying/counter-updates-1/{task}/delete")
    expect(page.locator("main")).to_contain_text("/nobody-answers")
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("#did")).to_contain_text("deleted; kept below")
    expect(page.locator("#kept")).to_contain_text("deleted by an administrator")


def test_the_dashboard_is_walked_by_keyboard_alone(visit: Visit) -> None:
    page = visit(ADMIN).open("/admin")
    _choose(page, "off")
    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    seen: list[str] = []
    for _ in range(120):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
                const element = document.activeElement;
                const style = getComputedStyle(element);
                const box = element.getBoundingClientRect();
                const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                const visible = box.width > 0 && box.bottom > 0 && box.top < innerHeight;
                return [element.tagName, element.textContent.trim().slice(0, 20), outlined && visible];
            }"""
        )
        if focused[0] == "BODY":
            break
        assert focused[2], f"{focused} has no visible focus"
        seen.append(focused[1])
        if focused[1] == "Pause":
            break
    assert any(text.startswith("Applied") for text in seen)
    assert seen[-1] == "Pause"
    page.keyboard.press("Enter")
    expect(page.locator("#queues")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").first.press("Enter")
    expect(page.locator("#queues")).not_to_contain_text("paused")
