"""The dashboard on a bad day: a storm of failing tasks, names as long as allowed, servers that stop."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from localcloud.testing import LocalCloud
from localcloud.testing.waiting import wait_until
from playwright.sync_api import Page, expect

from tests.browser.conftest import ADMIN, Visitor, start_cloud
from tests.browser.test_every_page import violations

pytestmark = pytest.mark.slow

VisitCloud = Callable[..., Visitor]

STORM = 1000
LONG_NAME = "a" + "x" * 99
_LOCATION = "projects/local-project/locations/us-central1"


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud with a thousand failing tasks and a counter of 100 characters."""
    with start_cloud(tmp_path_factory.mktemp("storm") / "data") as cloud:
        transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(cloud.tasks_address))
        client = tasks_v2.CloudTasksClient(transport=transport)

        def enqueue(number: int) -> None:
            parent = f"{_LOCATION}/queues/counter-updates-{number % 4}"
            request = tasks_v2.AppEngineHttpRequest(relative_uri="/nobody-answers-here", body=b"{}")
            name = f"{parent}/tasks/{secrets.token_hex(16)}"
            client.create_task(parent=parent, task=tasks_v2.Task(name=name, app_engine_http_request=request))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(enqueue, range(STORM)))
        yield cloud


@pytest.fixture
def admin(stormy: LocalCloud, visit_cloud: VisitCloud) -> Visitor:
    visitor = visit_cloud(stormy, ADMIN)
    answer = visitor.page.request.post(
        f"{stormy.url}/api/counters/{LONG_NAME}/increments", data={"amount": 1234567}
    )
    assert answer.status == 202
    wait_until(
        lambda: visitor.page.request.get(f"{stormy.url}/api/counters/{LONG_NAME}").status == 200,
        "the counter to be there",
    )
    return visitor


@pytest.mark.parametrize("width", [1440, 1024, 768, 360])
@pytest.mark.parametrize("path", ["/admin", "/admin/retrying", "/", f"/admin/counters/{LONG_NAME}"])
def test_in_a_storm_every_action_and_every_figure_stays_in_sight(
    admin: Visitor, width: int, path: str
) -> None:
    admin.page.set_viewport_size({"width": width, "height": 900})
    page = admin.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    out_of_sight = page.evaluate(
        """() => [...document.querySelectorAll('.rows td, .rows button, .rows .button, .value')]
            .filter(each => each.checkVisibility() && !each.closest('details:not([open])'))
            .filter(each => {
                const box = each.getBoundingClientRect();
                const frame = each.closest('.scroll')?.getBoundingClientRect();
                return box.left < 0 || box.right > innerWidth || (frame && box.right > frame.right + 1);
            })
            .map(each => each.textContent.trim())"""
    )
    assert out_of_sight == []
    assert violations(page, {"runOnly": ["color-contrast", "scrollable-region-focusable"]}) == []


def test_what_waits_to_retry_is_grouped_paged_filtered_and_selected(admin: Visitor) -> None:
    page = admin.open("/admin/retrying")
    listing = page.locator("#listing")
    expect(listing.locator("table").first).to_contain_text("nobody-answers-here")
    assert page.locator("#listing input[name=id]").count() == 50
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**page=2*")
    page.get_by_label("Queue").select_option("counter-updates-1")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**queue=counter-updates-1*")
    run = page.locator("#selection").get_by_role("button", name="Run now")
    expect(run).to_be_disabled()
    boxes = page.locator("input[name=id]")
    for index in range(3):
        boxes.nth(index).check()
    expect(page.locator("[data-selected]")).to_have_text("3 selected")
    page.locator("#selection").get_by_role("button", name="Delete").click()
    expect(page.locator("#did")).to_contain_text("3 selected tasks: 3 deleted")
    page.get_by_role("link", name="Delete all …").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^Delete all \d+\?$"))


def test_a_refresh_keeps_what_somebody_is_doing(admin: Visitor) -> None:
    page = admin.open("/admin")
    page.get_by_label("Refresh").select_option(label="every 2 s")
    page.locator("#minutes summary").click()
    table = page.locator("#minutes .data .scroll")
    table.evaluate("each => { each.scrollTop = 120; }")
    search = page.get_by_label("Name begins with")
    search.fill("half-typ")
    page.evaluate(
        """() => {
            const word = document.querySelector('#queues h2').firstChild;
            getSelection().selectAllChildren(word.parentElement);
            window.kept = word.parentElement;
        }"""
    )
    search.focus()
    for _ in range(10):
        with page.expect_response("**/admin/live*"):
            pass
    expect(search).to_be_focused()
    expect(search).to_have_value("half-typ")
    assert table.evaluate("each => each.scrollTop") == 120
    assert page.locator("#minutes details").get_attribute("open") is not None
    assert page.evaluate("document.querySelector('#queues h2') === window.kept")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#kept h2'))")
    with page.expect_response("**/admin/live*"):
        pass
    assert page.evaluate("getSelection().toString()") == "Rejected tasks"


def test_a_button_keeps_the_focus_after_it_was_pressed(admin: Visitor) -> None:
    page = admin.open("/admin")
    pause = page.locator("#queues tr", has_text="counter-updates-3").get_by_role("button")
    pause.focus()
    page.keyboard.press("Enter")
    expect(pause).to_have_text("Resume")
    expect(pause).to_be_focused()
    page.keyboard.press("Enter")
    expect(pause).to_have_text("Pause")
    expect(pause).to_be_focused()


def test_times_are_local_after_an_action_without_reload_too(
    stormy: LocalCloud, visit_cloud: VisitCloud
) -> None:
    visitor = visit_cloud(stormy, ADMIN, timezone_id="Asia/Tokyo", locale="en-GB")
    page = visitor.open("/admin")
    page.locator("#queues tbody").get_by_role("button", name="Pause").first.click()
    page.locator("#queues tbody").get_by_role("button", name="Resume").first.click()
    expect(page.locator("#actions tbody time").first).not_to_contain_text("UTC")


def test_the_tab_tells_the_verdict_and_a_hidden_one_asks_once_a_minute(
    stormy: LocalCloud, visit_cloud: VisitCloud
) -> None:
    visitor = visit_cloud(stormy, ADMIN)
    page = visitor.page
    page.clock.install()
    visitor.open("/admin")
    expect(page).to_have_title(re.compile("^(OK|Degraded|Failing): Counters dashboard$"))
    _hide(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(55_000)
    assert asked == []
    with page.expect_response("**/admin/live*"):
        page.clock.run_for(6_000)
    assert len(asked) == 1


def test_what_is_stale_is_unknown_and_never_ok(stormy: LocalCloud, visit_cloud: VisitCloud) -> None:
    visitor = visit_cloud(stormy, ADMIN)
    page = visitor.open("/admin")
    page.get_by_label("Refresh").select_option(label="every 2 s")
    page.route("**/admin/live*", lambda route: route.abort())
    level = page.locator("#verdict .level")
    expect(level).to_have_text(re.compile(r"^Unknown since \d"), timeout=20_000)
    expect(page).to_have_title(re.compile(r"^Unknown since \d.*: Counters dashboard$"))
    page.unroute("**/admin/live*")
    expect(level).to_have_text(re.compile("^(OK|Degraded|Failing)$"), timeout=20_000)
    expect(page).to_have_title(re.compile("^(OK|Degraded|Failing): "))


def test_when_the_service_is_stopped_the_tab_says_unknown(tmp_path: Path, visit_cloud: VisitCloud) -> None:
    with start_cloud(tmp_path / "data") as cloud:
        page = visit_cloud(cloud, ADMIN).open("/admin")
        page.get_by_label("Refresh").select_option(label="every 2 s")
        cloud.stop()
        expect(page).to_have_title(re.compile("^Unknown since "), timeout=20_000)
        expect(page.locator("#verdict")).not_to_contain_text(re.compile("^OK"))


def test_forced_colours_leave_every_state_to_be_seen(stormy: LocalCloud, visit_cloud: VisitCloud) -> None:
    visitor = visit_cloud(stormy, ADMIN, forced_colors="active")
    page = visitor.open("/admin")
    seen = """selector => {
        const style = getComputedStyle(document.querySelector(selector));
        return [style.backgroundColor, style.borderTopWidth, style.borderTopStyle];
    }"""
    swatches = {page.evaluate(seen, f".key.{kind}")[0] for kind in ("first", "later", "failed", "rejected")}
    assert len(swatches) == 4
    assert page.evaluate(seen, "#verdict")[1:] != ["0px", "none"]
    pills = [
        page.evaluate(seen, f".windows a{which}")[0] for which in ("[aria-current]", ":not([aria-current])")
    ]
    assert pills[0] != pills[1]


def test_a_task_is_found_by_its_name_and_shows_its_timeline(admin: Visitor) -> None:
    page = admin.open("/admin/retrying")
    page.keyboard.press("/")
    page.keyboard.type("no-such-task")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Never seen")
    admin.problems.clear()  # the browser's own line about the 404
    admin.open("/admin/retrying")
    name = str(page.locator("#listing tbody th a.code").first.text_content())
    page.get_by_role("link", name=name).click()
    expect(page.locator("#task-name")).to_have_text(name)
    expect(page.locator(".timeline")).to_contain_text("Next try")
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    assert violations(page) == []


def test_an_increment_is_found_by_its_idempotency_key(admin: Visitor) -> None:
    key = f"order-{secrets.token_hex(4)}"
    origin = admin.url
    answer = admin.page.request.post(
        f"{origin}/api/counters/visits/increments", data={"amount": 3}, headers={"Idempotency-Key": key}
    )
    task = answer.json()["task"]
    wait_until(
        lambda: admin.page.request.get(f"{origin}/api/tasks/{task}").json()["state"] == "applied",
        "the increment to be applied",
    )
    page = admin.open("/admin")
    page.get_by_label("Task name or Idempotency-Key").fill(key)
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#task-name")).to_have_text(task)
    expect(page.locator(".timeline")).to_contain_text("Applied")


def test_the_theme_is_chosen_and_stays(admin: Visitor) -> None:
    page = admin.open("/admin/activity")
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert sum(page.evaluate(brightness)) < 90


def test_a_page_is_three_requests(stormy: LocalCloud, visit_cloud: VisitCloud) -> None:
    visitor = visit_cloud(stormy, ADMIN)
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.open("/admin")
    own = [url for url in asked if "favicon" not in url and "/admin/live" not in url]
    assert len(own) == 3, own


def _hide(page: Page) -> None:
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
