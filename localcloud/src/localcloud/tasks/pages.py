"""Page tokens: where the next page begins, and until when that holds."""

import base64
import json

from localcloud.tasks.clock import SECOND_US, Clock
from localcloud.tasks.errors import invalid

# Real service: page tokens are valid for two hours (ListTasksRequest.page_token).
VALID_US = 2 * 3600 * SECOND_US


class Pages:
    """Makes and reads page tokens. They hold no secret: a forged one shows only what may be listed anyway."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def token(self, of: str, position: int) -> str:
        """The token for what follows `position` in the list `of`."""
        text = json.dumps([of, position, self._clock.now_us() + VALID_US])
        return base64.urlsafe_b64encode(text.encode()).decode()

    def position(self, token: str, of: str) -> int:
        """Where the page begins; -1 for the first one. Raises ApiError."""
        if not token:
            return -1
        try:
            listed, position, expire_us = json.loads(base64.urlsafe_b64decode(token.encode()))
        except (ValueError, TypeError, RecursionError):
            listed = position = expire_us = None
        is_ours = listed == of and isinstance(position, int) and isinstance(expire_us, int)
        if not is_ours or self._clock.now_us() >= expire_us:
            raise invalid(
                "page_token is not one of this list, or older than two hours. Expected next_page_token."
            )
        return int(position)


def page_size(requested: int, most: int) -> int:
    """How many items a page may have. Raises ApiError."""
    if requested < 0:
        raise invalid(f"page_size is {requested}. Expected 0 (as many as possible) to {most:,}.")
    return min(requested or most, most)
