"""How an attempt ended."""

import re
from dataclasses import dataclass

# The codes of google.rpc.Code.
_OK = 0
_UNKNOWN = 2
_DEADLINE_EXCEEDED = 4
_UNAVAILABLE = 14
_RPC_CODES = {
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    409: 10,  # ABORTED
    429: 8,  # RESOURCE_EXHAUSTED
    499: 1,  # CANCELLED
    500: 13,  # INTERNAL
    501: 12,  # UNIMPLEMENTED
    503: _UNAVAILABLE,
    504: _DEADLINE_EXCEEDED,
}
_STATUS_TEXT = re.compile(r"HTTP status code (\d+)")
DEADLINE_REASON = "no answer before the dispatch deadline"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The handler's status, or the reason why there is none (or why it was not the handler who gave it)."""

    status: int | None
    reason: str = ""
    # The seconds of a Retry-After header; only for HTTP targets is it heeded.
    retry_after_seconds: float | None = None

    @property
    def is_success(self) -> bool:
        """Real service: 200 to 299 and nothing else (AppEngineHttpRequest)."""
        return self.status is not None and 200 <= self.status <= 299

    @property
    def rpc_code(self) -> int:
        """The google.rpc.Code that last_attempt tells.

        We differ: the service's mapping is not documented; this is the usual one of HTTP statuses.
        """
        if self.status is None:
            return _DEADLINE_EXCEEDED if self.reason == DEADLINE_REASON else _UNAVAILABLE
        return _OK if self.is_success else _RPC_CODES.get(self.status, _UNKNOWN)

    @property
    def text(self) -> str:
        """For last_attempt's message and for the log."""
        return self.reason if self.status is None else f"HTTP status code {self.status}"

    @staticmethod
    def from_text(text: str) -> "Outcome | None":
        """The inverse of `text`; None for the empty text."""
        if not text:
            return None
        found = _STATUS_TEXT.fullmatch(text)
        return Outcome(int(found[1])) if found else Outcome(None, text)
