"""This application's settings: the engine's, each variable with a prefix of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pushtasks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class GuestSettings(Settings):
    """See `Settings`. Add yours here, as `name: type = setting("NAME", parse, default, meaning)`."""

    prefix: ClassVar[str] = "COUNTER_"
