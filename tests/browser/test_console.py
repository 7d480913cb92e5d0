"""The console in a real browser: with and without script, on a phone and a wide screen, in both themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from localcloud.console.calls import Calls
from localcloud.console.datastore import Datastore
from localcloud.console.keys import Database, address
from localcloud.datastore.messages import Entity, Key, Value
from localcloud.testing import LocalCloud
from localcloud.testing.waiting import wait_until

from tests.browser.conftest import Visitor
from tests.browser.test_every_page import violations

pytestmark = pytest.mark.slow

WHERE = Database("local-project")


def _key() -> Any:
    message = Key()
    WHERE.partition(message.partition_id)
    message.path.add(kind="Everything", name="one")
    return message


def _entity(**properties: Any) -> Any:
    message = Entity(key=_key())
    for name, value in properties.items():
        message.properties[name].CopyFrom(value)
    return message


KEY = address(_key())
QUEUE = "projects/local-project/locations/us-central1/queues/counter-updates-0"
PAGES = [
    "/",
    "/data",
    "/data/kind?kind=Everything",
    "/data/kind?kind=Everything&property=big&operator=%3D&type=integer&value=9223372036854775807",
    f"/data/entity?key={KEY}",
    f"/data/delete?key={KEY}",
    f"/data/new?copy={KEY}",
    "/data/delete-kind?kind=Everything",
    "/data/gql?q=SELECT+*+FROM+Everything",
    "/data/import",
    "/tasks",
    f"/tasks/queue?name={QUEUE}",
    f"/tasks/purge?name={QUEUE}",
    "/tasks/new",
    "/logs",
    "/instances",
    "/cron",
]


@pytest.fixture
def datastore(cloud: LocalCloud) -> Iterator[Datastore]:
    calls = Calls("Datastore", cloud.datastore_address)
    datastore = Datastore(calls)
    datastore.upsert_all(
        [
            _entity(
                big=Value(integer_value=(1 << 63) - 1),
                text=Value(string_value="\n two\n\nlines "),
                windows=Value(string_value="a\r\nb"),
                blob=Value(blob_value=bytes(range(200)), exclude_from_indexes=True),
                nan=Value(double_value=float("nan")),
                when=Value(timestamp_value={"seconds": 1, "nanos": 1000}),
                list=Value(array_value={"values": [{"string_value": "x" * 300}]}),
                **{"a-name-that-is-long-enough-to-need-wrapping": Value(integer_value=1)},
            )
        ]
    )
    yield datastore
    calls.close()


@pytest.fixture
def visit_console(
    cloud: LocalCloud, datastore: Datastore, visit_cloud: Callable[..., Visitor]
) -> Iterator[Callable[..., Visitor]]:
    """A visitor of the console, whose browser must have nothing to complain about."""
    visitors: list[Visitor] = []

    def visit(**options: object) -> Visitor:
        visitor = visit_cloud(cloud, **options)
        visitor.url = cloud.console_url
        visitors.append(visitor)
        return visitor

    yield visit
    for visitor in visitors:
        assert visitor.problems == []


@pytest.mark.parametrize("path", PAGES)
def test_it_is_accessible_fits_the_screen_and_the_browser_has_no_complaint(
    visit_console: Callable[..., Visitor], path: str
) -> None:
    page = visit_console(width=1440).open(path)
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, {"runOnly": ["color-contrast"]}) == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page, {"runOnly": ["scrollable-region-focusable", "target-size"]}) == []


@pytest.mark.parametrize("has_script", [True, False])
def test_one_property_is_edited_by_keyboard_and_the_browser_returns_all_others_as_they_were(
    visit_console: Callable[..., Visitor], datastore: Datastore, has_script: bool
) -> None:
    before = datastore.lookup(_key())
    assert before is not None
    page = visit_console(java_script_enabled=has_script).open(f"/data/entity?key={KEY}")
    wanted = "123" if has_script else "-124"

    page.locator("fieldset", has_text="big").get_by_label("Value").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(wanted)
    page.get_by_role("button", name="Save what was edited").focus()
    page.keyboard.press("Enter")

    assert page.get_by_role("status").inner_text() == "Saved: big."
    before.entity.properties["big"].integer_value = int(wanted)
    after = datastore.lookup(before.entity.key)
    assert after is not None
    # Not by ==: a NaN equals nothing.
    assert after.entity.SerializeToString(deterministic=True) == before.entity.SerializeToString(
        deterministic=True
    )


def test_the_log_is_followed_stands_still_for_a_reader_and_tells_when_it_is_cut_off(
    cloud: LocalCloud, visit_console: Callable[..., Visitor]
) -> None:
    visitor = visit_console()
    page = visitor.open("/logs")
    log, state = page.locator("#log"), page.locator("#following")

    def say(name: str) -> None:
        other = visit_console()
        form = other.open("/tasks/new")
        form.get_by_label("Path of a service").fill("/nowhere")
        form.get_by_label("Name (optional)").fill(name)
        form.get_by_role("button", name="Create").click()

    say("first-followed")
    wait_until(lambda: "first-followed" in log.inner_text(), "the line to come by itself", 20)

    log.evaluate("element => { element.style.height = '60px'; element.scrollTop = 0; }")
    say("second-followed")
    wait_until(lambda: "new line" in state.inner_text(), "the count of new lines", 20)
    assert "second-followed" not in log.inner_text()

    page.route("**/logs/lines*", lambda route: route.abort())
    wait_until(lambda: "Not connected" in state.inner_text(), "the loss to be told", 20)
    visitor.problems.clear()  # the browser's own line about the lost request


def test_the_theme_is_the_visitors(visit_console: Callable[..., Visitor]) -> None:
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert sum(visit_console(color_scheme="light").open("/").evaluate(brightness)) > 690
    assert sum(visit_console(color_scheme="dark").open("/").evaluate(brightness)) < 90
