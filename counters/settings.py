"""The counters' own settings, beside the engine's. Every variable begins with COUNTER_."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pushtasks.settings import API_KEY, API_KEYS_EXPECTED, Settings, choice, items, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class CounterSettings(Settings):
    """See `Settings`."""

    prefix: ClassVar[str] = "COUNTER_"

    shards: int = setting("SHARDS", whole_number(1, 128), "4", "Shards of a counter that is new from now on.")
    most_counters: int = setting(
        "MOST_COUNTERS",
        whole_number(1, 10_000_000),
        "10000",
        "Counters that may exist; an increment that would start another is refused.",
    )
    api_access: str = setting(
        "API_ACCESS",
        choice("open", "key", "admin"),
        "open",
        "Who may increment: everybody, holders of an API key, or administrators only.",
    )
    api_keys: tuple[str, ...] = setting(
        "API_KEYS",
        items(API_KEY, API_KEYS_EXPECTED),
        "",
        "The keys that API_ACCESS=key admits, sent as `Authorization: Bearer KEY`.",
        secret=True,
    )

    @classmethod
    def clashes(cls, values: Mapping[str, Any]) -> list[str]:
        if values["api_access"] == "key" and not values["api_keys"]:
            variable = cls.variable_of("api_keys")
            return [f"{variable} is ''. Expected a key ({cls.variable_of('api_access')}=key)."]
        return []
