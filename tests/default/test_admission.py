"""Settings that close the API, and settings that bound it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from counters import limits
from counters.settings import CounterSettings
from pushtasks.database import Database
from pushtasks.trust import holds_a_key
from tests.default.conftest import ADA, OUR_PAGE, DefaultClient

KEY = "a-key-of-sixteen-or-more"


def _increment(default: DefaultClient, name: str, **headers: str) -> int:
    answer = default.post_json(
        f"/api/counters/{name}/increments",
        {"amount": 1},
        {each.replace("_", "-"): value for each, value in headers.items()},
    )
    return answer.status


def test_with_keys_only_their_holders_and_administrators_may_increment(
    environ: dict[str, str], database: object, name: str
) -> None:
    default = DefaultClient({**environ, "COUNTER_API_ACCESS": "key", "COUNTER_API_KEYS": f"{KEY},{KEY}-2"})
    assert _increment(default, name) == 401
    assert _increment(default, name, Authorization=f"Bearer {KEY}-3") == 401
    assert _increment(default, name, Authorization=f"Basic {KEY}") == 401
    assert _increment(default, name, Authorization=f"Bearer {KEY}-2") == 202
    assert _increment(default, name, **ADA) == 202
    assert default.get("/api/counters").status == 200
    batch = {"increments": [{"counter": name, "amount": 1}]}
    assert default.post_json("/api/increments", batch).status == 401
    assert default.post_json("/api/increments", batch, {"Authorization": f"bearer {KEY}"}).status == 202


def test_a_refusal_says_how_to_send_a_key(environ: dict[str, str], database: object, name: str) -> None:
    default = DefaultClient({**environ, "COUNTER_API_ACCESS": "key", "COUNTER_API_KEYS": KEY})
    answer = default.post_json(f"/api/counters/{name}/increments", {"amount": 1})
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (answer.json["field"], answer.json["expected"]) == ("Authorization", "Bearer KEY")
    assert KEY not in answer.text


def test_with_administrators_only_everybody_else_is_refused(
    environ: dict[str, str], database: object, name: str
) -> None:
    default = DefaultClient({**environ, "COUNTER_API_ACCESS": "admin"})
    assert _increment(default, name) == 403
    assert _increment(default, name, **ADA) == 202
    form = {"counter": name, "amount": "1"}
    assert default.post_form("/counters/increments", form).status == 403
    assert default.post_form("/counters/increments", form, {**ADA, **OUR_PAGE}).status == 303
    assert "Start a counter" not in default.get("/").text
    assert "Start a counter" in default.get("/", ADA).text


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}]
)
def test_another_site_can_not_use_an_administrators_browser_to_increment(
    environ: dict[str, str], database: object, name: str, headers: dict[str, str]
) -> None:
    default = DefaultClient({**environ, "COUNTER_API_ACCESS": "admin"})
    assert _increment(default, name, **ADA, **headers) == 403
    assert default.post_form("/counters/increments", {"counter": name}, {**ADA, **headers}).status == 403


def test_where_headers_can_not_be_believed_nobody_is_an_administrator(
    environ: dict[str, str], database: object, name: str
) -> None:
    default = DefaultClient({**environ, "GAE_ENV": "", "COUNTER_API_ACCESS": "admin"})
    assert _increment(default, name, **ADA) == 403


def test_no_more_counters_are_started_than_may_exist(
    environ: dict[str, str], database: object, name: str
) -> None:
    default = DefaultClient({**environ, "COUNTER_MOST_COUNTERS": "1"})
    answers = [default.post_json(f"/api/counters/{name}.{n}/increments", {"amount": 1}) for n in range(3)]
    refused = [answer for answer in answers if answer.status == 403]
    assert len(refused) >= 2
    assert (refused[0].json["field"], refused[0].json["expected"]) == (
        "counter",
        "the name of a counter that exists",
    )
    batch = {"increments": [{"counter": f"{name}.batch", "amount": 1}]}
    assert default.post_json("/api/increments", batch).status == 403


def test_a_counter_that_exists_is_incremented_however_many_there_are(
    default: DefaultClient, environ: dict[str, str], name: str, wait_for_state: object
) -> None:
    task = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}).json["task"]
    wait_for_state(task, "applied")  # type: ignore[operator]
    full = DefaultClient({**environ, "COUNTER_MOST_COUNTERS": "1"})
    assert _increment(full, name) == 202


def test_a_key_is_compared_with_all_keys() -> None:
    settings = CounterSettings.read(
        {
            "GOOGLE_CLOUD_PROJECT": "p",
            "COUNTER_API_ACCESS": "key",
            "COUNTER_API_KEYS": f"{KEY},another-key-of-16-chars",
        }
    )
    assert holds_a_key(f"Bearer {KEY}", settings.api_keys)
    assert holds_a_key("Bearer another-key-of-16-chars", settings.api_keys)
    assert not holds_a_key("Bearer \N{SNOWMAN}", settings.api_keys)
    assert not holds_a_key("", settings.api_keys)


class _NoCounters:
    """Stands for a Datastore in which no counter is ever registered, because no task gets applied."""

    def get(self, keys: Iterable[object]) -> list[None]:
        return [None for _ in keys]

    def run_query(self, *_: object, **__: object) -> list[object]:
        return []


def test_names_that_are_admitted_again_and_again_do_not_fill_the_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_MOST_KNOWN", 100)
    now_s = 0.0
    gate = limits.Admission(_NoCounters(), 60, clock_s=lambda: now_s)  # type: ignore[arg-type]
    with database.context():
        for start in range(0, 1000, 50):
            now_s += 400.0  # by then the counters are counted again
            gate.admit(f"name-{number}" for number in range(start, start + 50))
            assert len(gate._known) <= 100
