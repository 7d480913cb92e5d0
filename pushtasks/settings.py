"""The engine's settings: one frozen object, read and checked once, at start.

An application adds its own by a subclass, whose `prefix` begins the name of every variable:

    @dataclass(frozen=True, kw_only=True)
    class ShopSettings(Settings):
        prefix: ClassVar[str] = "SHOP_"
        currency: str = setting("CURRENCY", choice("EUR", "USD"), "EUR", "What prices are in.")
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, ClassVar, Self

from pushtasks.errors import SettingsError


class BadValue(Exception):
    """A value that doesn't fit; carries what was expected."""


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise BadValue(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    return matching("|".join(map(re.escape, allowed)), "one of " + ", ".join(allowed))


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise BadValue(expected)
        return text

    return parse


def items(pattern: str, expected: str) -> Callable[[str], tuple[str, ...]]:
    """Different values, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(part.strip() for part in text.split(",") if part.strip())
        if not all(re.fullmatch(pattern, item) for item in found) or len(set(found)) != len(found):
            raise BadValue(expected)
        return found

    return parse


API_KEY = r"[!-+\--~]{16,200}"
API_KEYS_EXPECTED = "different keys of 16 or more printable characters, with commas between"


def setting(
    variable: str, parse: Callable[[str], Any], default: str | None, help: str, *, secret: bool = False
) -> Any:
    """A field of a settings class. `variable` goes without the prefix; without a default it must be given."""
    return field(
        metadata={"variable": variable, "parse": parse, "default": default, "help": help, "secret": secret}
    )


def _given(variable: str, pattern: str, expected: str, default: str | None, help: str) -> Any:
    """A setting whose variable App Engine or localcloud gives, so that it has no prefix."""
    parse = matching(pattern, expected)
    return field(
        metadata={"variable": variable, "parse": parse, "default": default, "help": help, "given": True}
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be chosen without a change of code. Built by `read`."""

    prefix: ClassVar[str] = "PUSHTASKS_"

    project: str = _given(
        "GOOGLE_CLOUD_PROJECT",
        r"[A-Za-z0-9:.-]{1,100}",
        "a Google Cloud project's id (App Engine and localcloud set it)",
        None,
        "The project; set by App Engine.",
    )
    runtime: str = _given(
        "GAE_ENV",
        r".*",
        "standard",
        "",
        "`standard` where App Engine is in front; only there X-AppEngine-* headers are believed.",
    )
    service: str = _given(
        "GAE_SERVICE", r".*", "a name", "default", "This service's name; set by App Engine."
    )
    version: str = _given("GAE_VERSION", r".*", "a name", "", "The version; set by App Engine.")
    location: str = _given(
        "LOCATION_ID",
        r"([a-z]+-[a-z]+[0-9]+)?",
        "a region, such as us-central1",
        "",
        "The queues' region. Empty: the metadata server is asked.",
    )
    tasks_emulator: str = _given(
        "CLOUD_TASKS_EMULATOR_HOST",
        r"([^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5})?",
        "HOST:PORT",
        "",
        "HOST:PORT of a local Cloud Tasks; empty for the real one.",
    )
    slots: int = setting(
        "SLOTS",
        whole_number(1, 128),
        "8",
        "Slots that processes draw from to write shards and statistics without meeting. Never lower it: "
        "what a dropped slot counted would no longer be shown.",
    )
    group_size: int = setting(
        "GROUP_SIZE",
        whole_number(1, 200),
        "64",
        "The most tasks that one transaction applies; 1 applies them one by one.",
    )
    fast_path_switch: str = setting(
        "FAST_PATH",
        choice("on", "off"),
        "on",
        "off: apply tasks through google-cloud-ndb alone, slower; for when one of its releases is in doubt.",
    )
    record_days: int = setting(
        "RECORD_DAYS",
        whole_number(2, 3650),
        "90",
        "Days that the record of a task is kept, and an Idempotency-Key holds. Raise it only while no task "
        "older than the old value is pending.",
    )
    most_body_bytes: int = setting(
        "MOST_BODY_BYTES",
        whole_number(1024, 32_000_000),
        "262144",
        "The largest request body that is read, in bytes.",
    )
    editors: tuple[str, ...] = setting(
        "EDITORS",
        items(r"[^\s,@]+@[^\s,@]+|\*", "e-mail addresses with commas between, or *"),
        "*",
        "Administrators who may change things under /admin; others there read. * means all.",
    )
    metrics_keys: tuple[str, ...] = setting(
        "METRICS_KEYS",
        items(API_KEY, API_KEYS_EXPECTED),
        "",
        "The keys that GET /metrics admits, sent as `Authorization: Bearer KEY`; without any it is closed.",
        secret=True,
    )
    log_format: str = setting(
        "LOG_FORMAT",
        choice("auto", "json", "text"),
        "auto",
        "Log lines for Cloud Logging (json) or for people (text); auto: text at home, json elsewhere.",
    )

    @property
    def on_app_engine(self) -> bool:
        return self.runtime == "standard"

    @property
    def fast_path(self) -> bool:
        return self.fast_path_switch == "on"

    @property
    def logs_json(self) -> bool:
        return self.log_format == "json" or (self.log_format == "auto" and not self.tasks_emulator)

    @property
    def record_life(self) -> timedelta:
        return timedelta(days=self.record_days)

    @property
    def task_life(self) -> timedelta:
        """The age at which a task can no longer be proven unapplied: the record's life less a day."""
        return self.record_life - timedelta(days=1)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """The settings that `environ` gives. Raises SettingsError, naming every problem at once."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for item in fields(cls):
            variable, default = cls._variable(item.metadata), item.metadata["default"]
            text = environ.get(variable, default)
            try:
                values[item.name] = item.metadata["parse"](text or "")
            except BadValue as bad:
                state = "is missing" if text is None else f"is {text!r}"
                if item.metadata.get("secret"):
                    state = "has a value that can't be used"
                shown = f" (default {default})" if default else ""
                problems.append(f"{variable} {state}. Expected {bad}{shown}.")
        if not problems:
            problems += cls.clashes(values)
        if problems:
            raise SettingsError(" ".join(problems))
        return cls(**values)

    @classmethod
    def clashes(cls, values: Mapping[str, Any]) -> list[str]:  # noqa: ARG003 - for subclasses
        """A sentence for each pair of settings that don't go together."""
        return []

    @classmethod
    def variable_of(cls, name: str) -> str:
        """The environment variable of a field: `SHOP_EDITORS` for `editors`."""
        return next(cls._variable(item.metadata) for item in fields(cls) if item.name == name)

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Variable, default and meaning of each setting, for the documentation."""
        return [
            (cls._variable(item.metadata), item.metadata["default"] or "", item.metadata["help"])
            for item in fields(cls)
        ]

    @classmethod
    def _variable(cls, metadata: Mapping[str, Any]) -> str:
        variable: str = metadata["variable"]
        return variable if metadata.get("given") else cls.prefix + variable


_GUNICORN_APP_LOAD_ERROR = 4
"""The exit status of a worker process at which gunicorn ends instead of starting another."""


def check_or_exit(service: str, settings: type[Settings], environ: Mapping[str, str]) -> None:
    """End the program with a sentence on standard error if a setting can't be used."""
    try:
        settings.read(environ)
    except SettingsError as error:
        print(f"{service}: {error}", file=sys.stderr, flush=True)
        sys.exit(_GUNICORN_APP_LOAD_ERROR)
