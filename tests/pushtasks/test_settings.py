"""Settings: read once, checked once, every problem named."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from counters.settings import CounterSettings
from pushtasks.errors import SettingsError
from pushtasks.settings import Settings

MINIMUM = {"GOOGLE_CLOUD_PROJECT": "a-project"}


def test_a_project_is_enough() -> None:
    settings = CounterSettings.read(MINIMUM)

    assert settings.project == "a-project"
    assert (settings.slots, settings.shards, settings.group_size) == (8, 4, 64)
    assert not settings.on_app_engine


def test_settings_never_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CounterSettings.read(MINIMUM).slots = 3  # type: ignore[misc]


def test_a_task_can_be_proven_unapplied_until_a_day_before_its_record_goes() -> None:
    settings = CounterSettings.read({**MINIMUM, "COUNTER_RECORD_DAYS": "10"})

    assert settings.record_life == timedelta(days=10)
    assert settings.task_life == timedelta(days=9)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("COUNTER_GROUP_SIZE", "many", "COUNTER_GROUP_SIZE is 'many'. Expected a whole number from 1 to 200"),
        ("COUNTER_GROUP_SIZE", "0", "COUNTER_GROUP_SIZE is '0'. Expected a whole number from 1 to 200"),
        (
            "COUNTER_SLOTS",
            "129",
            "COUNTER_SLOTS is '129'. Expected a whole number from 1 to 128 (default 8).",
        ),
        ("COUNTER_SLOTS", "٣", "COUNTER_SLOTS is '٣'. Expected a whole number"),
        ("COUNTER_FAST_PATH", "yes", "COUNTER_FAST_PATH is 'yes'. Expected one of on, off (default on)."),
        ("COUNTER_API_ACCESS", "closed", "COUNTER_API_ACCESS is 'closed'. Expected one of open, key, admin"),
        ("COUNTER_EDITORS", "nobody", "COUNTER_EDITORS is 'nobody'. Expected e-mail addresses"),
        ("LOCATION_ID", "here", "LOCATION_ID is 'here'. Expected a region, such as us-central1."),
        ("CLOUD_TASKS_EMULATOR_HOST", "8123", "CLOUD_TASKS_EMULATOR_HOST is '8123'. Expected HOST:PORT."),
        (
            "GOOGLE_CLOUD_PROJECT",
            "a b",
            "GOOGLE_CLOUD_PROJECT is 'a b'. Expected a Google Cloud project's id",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        CounterSettings.read({**MINIMUM, variable: value})

    assert str(caught.value).startswith(sentence)


def test_a_missing_project_is_named() -> None:
    with pytest.raises(SettingsError, match=r"GOOGLE_CLOUD_PROJECT is missing\. Expected a Google Cloud"):
        CounterSettings.read({})


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        CounterSettings.read({"COUNTER_SLOTS": "x", "COUNTER_SHARDS": "y"})

    assert all(
        name in str(caught.value) for name in ("GOOGLE_CLOUD_PROJECT", "COUNTER_SLOTS", "COUNTER_SHARDS")
    )


def test_a_key_is_never_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        CounterSettings.read({**MINIMUM, "COUNTER_API_KEYS": "short-secret"})

    assert "short-secret" not in str(caught.value)


def test_access_by_key_needs_a_key() -> None:
    with pytest.raises(SettingsError, match="COUNTER_API_KEYS is ''. Expected a key"):
        CounterSettings.read({**MINIMUM, "COUNTER_API_ACCESS": "key"})


def test_the_settings_that_carry_ten_thousand_increments_a_second_are_allowed() -> None:
    """docs/scale.md names them."""
    settings = CounterSettings.read(
        {
            "GOOGLE_CLOUD_PROJECT": "p",
            "COUNTER_SLOTS": "128",
            "COUNTER_SHARDS": "128",
            "COUNTER_GROUP_SIZE": "200",
        }
    )

    assert (settings.slots, settings.shards, settings.group_size) == (128, 128, 200)


def test_an_application_names_the_variables_and_adds_its_own() -> None:
    settings = Settings.read({**MINIMUM, "PUSHTASKS_SLOTS": "3", "COUNTER_SLOTS": "5"})

    assert settings.slots == 3
    assert CounterSettings.read({**MINIMUM, "PUSHTASKS_SLOTS": "3", "COUNTER_SLOTS": "5"}).slots == 5
    assert (Settings.variable_of("editors"), CounterSettings.variable_of("editors")) == (
        "PUSHTASKS_EDITORS",
        "COUNTER_EDITORS",
    )
    assert CounterSettings.variable_of("project") == "GOOGLE_CLOUD_PROJECT"
