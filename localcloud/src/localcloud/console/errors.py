"""The one exception of the console: what a person asked for can't be done, and why."""

from __future__ import annotations

from http import HTTPStatus


class Problem(Exception):
    """The text says what was wrong and what was expected; `status` is the HTTP status that shows it."""

    def __init__(self, text: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(text)
        self.text = text
        self.status = int(status)
