"""Who gets into /admin, and who may change things there."""

from __future__ import annotations

import pytest

from pushtasks.dashboard.routes import ADMIN_ROUTES
from tests.default.conftest import ADA, OUR_PAGE, READER, DefaultClient

PAGES = [
    "/admin",
    "/admin/",
    "/admin/live",
    "/admin/statistics.json",
    "/admin/metrics",
    "/admin/history.json",
    "/admin/backlog.json",
    "/admin/sample",
    "/admin/retrying.json",
    "/admin/counters.csv",
    "/admin/retrying",
    "/admin/kept",
    "/admin/kept.csv",
    "/admin/kept/all?reason=x",
    "/admin/queues/counter-updates-0/purge",
]

CHANGES = [
    "/admin/queues/counter-updates-0/pause",
    "/admin/queues/counter-updates-0/resume",
    "/admin/queues/counter-updates-0/purge",
    "/admin/retrying/counter-updates-0/abc/run",
    "/admin/retrying/counter-updates-0/abc/delete",
    "/admin/kept/selected",
    "/admin/kept/edited",
    "/admin/kept/all",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_for_administrators_only(default: DefaultClient, path: str) -> None:
    assert default.get(path, ADA).status == 200
    assert default.get(path, READER).status == 200
    outsider = default.get(path)
    assert outsider.status == 403
    assert "update-counter" not in outsider.text
    signed_in = default.get(path, {"X-AppEngine-User-Email": "eve@example.com"})
    assert signed_in.status == 403


@pytest.mark.parametrize("path", CHANGES)
def test_no_change_is_made_for_outsiders_readers_or_other_sites(default: DefaultClient, path: str) -> None:
    assert default.post_form(path, {"x": "1"}, OUR_PAGE).status == 403
    reader = default.post_form(path, {"x": "1"}, {**READER, **OUR_PAGE})
    assert reader.status == 403
    assert "reader@example.com may look, but not change anything" in reader.json["detail"]
    for elsewhere in (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ):
        assert default.post_form(path, {"x": "1"}, {**ADA, **elsewhere}).status == 403, elsewhere


def test_a_browser_that_sends_only_an_origin_may_change_things(default: DefaultClient) -> None:
    headers = {**ADA, "Origin": "http://127.0.0.1", "Host": "127.0.0.1"}
    answer = default.post_form("/admin/queues/counter-updates-0/resume", {"back": "/admin"}, headers)
    assert answer.status == 303


@pytest.mark.parametrize("path", [*PAGES, *CHANGES])
def test_forged_headers_open_nothing_where_app_engine_is_not_in_front(
    environ: dict[str, str], database: object, path: str
) -> None:
    default = DefaultClient({**environ, "GAE_ENV": ""})
    assert default.get(path, ADA).status == 403
    assert default.post_form(path, {"x": "1"}, {**ADA, **OUR_PAGE}).status == 403


def test_a_change_is_never_made_by_get(default: DefaultClient) -> None:
    for path in CHANGES:
        answer = default.get(path, ADA)
        assert answer.status in (200, 400, 405), path


def test_readers_see_no_buttons(default: DefaultClient) -> None:
    page = default.get("/admin", READER).text
    assert "read only" in page
    assert 'method="post"' not in page
    assert 'method="post"' in default.get("/admin", ADA).text


def test_every_route_is_in_these_tests() -> None:
    """A new page or change can't be forgotten here."""
    import re

    templates = [template for template, _ in ADMIN_ROUTES]
    tried = [path.partition("?")[0] for path in [*PAGES, *CHANGES]]
    tried += [
        "/admin/counters/visits",
        "/admin/kept/task",
        "/admin/find.json",
        "/admin/task.json",
    ]  # tried where there is something to show
    for template in templates:
        assert any(re.fullmatch(template, path) for path in tried), template
