"""The worker's page: an administrator delivers a task by hand, and watches a second delivery do nothing."""

from __future__ import annotations

import pytest
from localcloud.testing import LocalCloud

from tests.browser.conftest import ADMIN, Visit
from tests.browser.test_every_page import violations

pytestmark = pytest.mark.slow


def test_it_looks_like_the_others_and_shows_that_a_second_delivery_changes_nothing(
    cloud: LocalCloud, visit: Visit, name: str
) -> None:
    page = visit(ADMIN, width=360).page
    page.goto(cloud.service_url("worker") + "/update-counter")
    assert page.evaluate("[...document.styleSheets].map(sheet => sheet.cssRules.length > 10)") == [True, True]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    page.get_by_label("Counter").fill(name)
    for outcome in ("applied", "duplicate"):
        page.get_by_role("button").click()
        page.get_by_role("status").get_by_text(outcome).wait_for()
        assert violations(page) == []
