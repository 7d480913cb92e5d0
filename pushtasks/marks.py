"""What charts mark: what administrators did, and versions that were new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pushtasks.admin_actions import Action
from pushtasks.versions import SeenVersion


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to mark; `kind` is `action` or `version`."""

    at: datetime
    kind: str
    label: str


def marks(actions: Iterable[Action] | None, versions: Iterable[SeenVersion] | None) -> list[Mark]:
    """All of them, oldest first."""
    found = [
        Mark(
            each.at,
            "action",
            f"{each.action} {each.target} ({each.who})" if each.who else f"{each.action} {each.target}",
        )
        for each in actions or ()
    ]
    found += [Mark(each.first_seen, "version", f"{each.service} {each.version}") for each in versions or ()]
    return sorted(found, key=lambda mark: mark.at)
