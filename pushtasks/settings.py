"""The application's settings: one frozen object, read and checked once, at start."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_QUEUE_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_PROJECT_ID = re.compile(r"[A-Za-z0-9:.-]{1,100}")
_LOCATION_ID = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_ADDRESS = re.compile(r"[^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}")


class SettingsError(Exception):
    """Settings that can't be used. The message has one sentence for each problem."""


class _BadValue(Exception):
    """A value that doesn't fit; carries what was expected."""


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise _BadValue(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise _BadValue("one of " + ", ".join(allowed))
        return text

    return parse


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise _BadValue(expected)
        return text

    return parse


def _items(pattern: str, expected: str) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        items = tuple(part.strip() for part in text.split(",") if part.strip())
        if not all(re.fullmatch(pattern, item) for item in items) or len(set(items)) != len(items):
            raise _BadValue(expected)
        return items

    return parse


def _queues(text: str) -> tuple[str, ...]:
    expected = "one or more different queue names of queue.yaml, with commas between"
    queues = _items(_QUEUE_ID.pattern, expected)(text)
    if not queues:
        raise _BadValue(expected)
    return queues


def _setting(variable: str, parse: Callable[[str], Any], default: str | None, help: str) -> Any:
    return field(metadata={"variable": variable, "parse": parse, "default": default, "help": help})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be chosen without a change of code. Built by `Settings.read`."""

    project: str = _setting(
        "GOOGLE_CLOUD_PROJECT",
        _matching(_PROJECT_ID, "a Google Cloud project's id (App Engine and localcloud set it)"),
        None,
        "The project; set by App Engine.",
    )
    on_app_engine: bool = _setting(
        "GAE_ENV",
        lambda text: text == "standard",
        "",
        "`standard` where App Engine is in front; only there X-AppEngine-* headers are believed.",
    )
    service: str = _setting("GAE_SERVICE", str, "default", "This service's name; set by App Engine.")
    location: str = _setting(
        "LOCATION_ID",
        lambda text: text and _matching(_LOCATION_ID, "a region, such as us-central1")(text),
        "",
        "The queues' region. Empty: the metadata server is asked.",
    )
    tasks_emulator: str = _setting(
        "CLOUD_TASKS_EMULATOR_HOST",
        lambda text: text and _matching(_ADDRESS, "HOST:PORT")(text),
        "",
        "HOST:PORT of a local Cloud Tasks; empty for the real one.",
    )
    queues: tuple[str, ...] = _setting(
        "COUNTER_QUEUES",
        _queues,
        ",".join(f"counter-updates-{number}" for number in range(4)),
        "The queues that increments are spread over, all in queue.yaml. Do not reorder or remove while "
        "tasks are pending: a name's queue is picked by its place in this list.",
    )
    other_queues: tuple[str, ...] = _setting(
        "COUNTER_OTHER_QUEUES",
        _items(_QUEUE_ID.pattern, "different queue names of queue.yaml, with commas between"),
        "",
        "Queues of queue.yaml that carry no increments, but other handlers' tasks; the dashboard shows them.",
    )
    shards: int = _setting(
        "COUNTER_SHARDS", _whole_number(1, 128), "4", "Shards of a counter that is new from now on."
    )
    slots: int = _setting(
        "COUNTER_SLOTS",
        _whole_number(1, 128),
        "8",
        "Slots that processes draw from to write shards and statistics without meeting. Never lower it: "
        "what a dropped slot counted would no longer be shown.",
    )
    group_size: int = _setting(
        "COUNTER_GROUP_SIZE",
        _whole_number(1, 200),
        "64",
        "The most tasks that one transaction applies; 1 applies them one by one.",
    )
    record_days: int = _setting(
        "COUNTER_RECORD_DAYS",
        _whole_number(2, 3650),
        "90",
        "Days that the record of a task is kept, and an Idempotency-Key holds. Raise it only while no task "
        "older than the old value is pending.",
    )
    api_access: str = _setting(
        "COUNTER_API_ACCESS",
        _choice("open", "key", "admin"),
        "open",
        "Who may increment: everybody, holders of an API key, or administrators only.",
    )
    api_keys: tuple[str, ...] = _setting(
        "COUNTER_API_KEYS",
        _items(
            r"[!-+\--~]{16,200}", "different keys of 16 or more printable characters, with commas between"
        ),
        "",
        "The keys that COUNTER_API_ACCESS=key admits, sent as `Authorization: Bearer KEY`.",
    )
    most_counters: int = _setting(
        "COUNTER_MOST_COUNTERS",
        _whole_number(1, 10_000_000),
        "10000",
        "Counters that may exist; an increment that would start another is refused.",
    )
    most_body_bytes: int = _setting(
        "COUNTER_MOST_BODY_BYTES",
        _whole_number(1024, 32_000_000),
        "262144",
        "The largest request body that the API reads, in bytes.",
    )
    editors: tuple[str, ...] = _setting(
        "COUNTER_EDITORS",
        _items(r"[^\s,@]+@[^\s,@]+|\*", "e-mail addresses with commas between, or *"),
        "*",
        "Administrators who may change things under /admin; others there read. * means all.",
    )
    log_format: str = _setting(
        "COUNTER_LOG_FORMAT",
        _choice("auto", "json", "text"),
        "auto",
        "Log lines for Cloud Logging (json) or for people (text); auto: text at home, json elsewhere.",
    )

    @property
    def logs_json(self) -> bool:
        return self.log_format == "json" or (self.log_format == "auto" and not self.tasks_emulator)

    @property
    def all_queues(self) -> tuple[str, ...]:
        return self.queues + self.other_queues

    @property
    def record_life(self) -> timedelta:
        return timedelta(days=self.record_days)

    @property
    def task_life(self) -> timedelta:
        """The age at which a task can no longer be proven unapplied: the record's life less a day."""
        return self.record_life - timedelta(days=1)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that `environ` gives. Raises SettingsError, naming every problem at once."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for item in fields(cls):
            about = item.metadata
            text = environ.get(about["variable"], about["default"])
            default = f" (default {about['default']})" if about["default"] else ""
            try:
                if text is None:
                    raise _BadValue("a value")
                values[item.name] = about["parse"](text)
            except _BadValue as bad:
                state = "is missing" if text is None else f"is {text!r}"
                if about["variable"] == "COUNTER_API_KEYS":
                    state = "has a key that can't be used"
                expected = "GOOGLE_CLOUD_PROJECT" if text is None else ""
                wanted = "a Google Cloud project's id" if expected else str(bad)
                problems.append(f"{about['variable']} {state}. Expected {wanted}{default}.")
        if not problems and values["api_access"] == "key" and not values["api_keys"]:
            problems.append("COUNTER_API_KEYS is ''. Expected a key (COUNTER_API_ACCESS=key).")
        if problems:
            raise SettingsError(" ".join(problems))
        return cls(**values)

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Variable, default and meaning of each setting, for the documentation."""
        return [
            (item.metadata["variable"], item.metadata["default"] or "", item.metadata["help"])
            for item in fields(cls)
        ]


_GUNICORN_APP_LOAD_ERROR = 4
"""The exit status of a worker process at which gunicorn ends instead of starting another."""


def check_or_exit(service: str, environ: Mapping[str, str]) -> None:
    """End the program with a sentence on standard error if a setting can't be used."""
    try:
        Settings.read(environ)
    except SettingsError as error:
        print(f"{service}: {error}", file=sys.stderr, flush=True)
        sys.exit(_GUNICORN_APP_LOAD_ERROR)
