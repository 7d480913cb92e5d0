"""How an attempt ended."""

import re
from dataclasses import dataclass

from google.rpc.code_pb2 import Code

_RPC_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    416: Code.OUT_OF_RANGE,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
_OTHER_RPC_CODES = {2: Code.OK, 4: Code.FAILED_PRECONDITION, 5: Code.INTERNAL}
_TEXT = re.compile(r"[A-Z_]+\(\d+\): (.*)", re.DOTALL)
_STATUS = re.compile(r"HTTP status code (\d+)")
DEADLINE_REASON = "no answer before the dispatch deadline"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The handler's status, or why there is none (or why the status is not the handler's)."""

    status: int | None
    reason: str = ""
    # The seconds of a Retry-After header; only for HTTP targets is it heeded.
    retry_after_seconds: float | None = None
    # Nothing listens there: no byte of the request can have reached the program.
    is_unsent: bool = False

    @property
    def is_success(self) -> bool:
        """Real service: 200 to 299 and nothing else (AppEngineHttpRequest)."""
        return self.status is not None and 200 <= self.status <= 299

    @property
    def rpc_code(self) -> int:
        """The google.rpc.Code in last_attempt.

        Real service: FAILED_PRECONDITION for 405 and INTERNAL for 502 (both seen in tasks that people
        published), so it has a code of its own for some statuses and one for each class of the others.
        We differ: which statuses have their own is not documented; these are the usual ones.
        """
        if self.status is None:
            return int(Code.DEADLINE_EXCEEDED if self.reason == DEADLINE_REASON else Code.UNAVAILABLE)
        return int(_RPC_CODES.get(self.status, _OTHER_RPC_CODES.get(self.status // 100, Code.UNKNOWN)))

    @property
    def text(self) -> str:
        """The message of last_attempt. Real service: `FAILED_PRECONDITION(9): HTTP status code 405`."""
        what = self.reason if self.status is None else f"HTTP status code {self.status}"
        return f"{Code.Name(self.rpc_code)}({self.rpc_code}): {what}"

    @staticmethod
    def from_text(text: str) -> "Outcome | None":
        """The inverse of `text`; None for the empty text."""
        if not text:
            return None
        found = _TEXT.fullmatch(text)
        what = found[1] if found else text
        status = _STATUS.fullmatch(what)
        return Outcome(int(status[1])) if status else Outcome(None, what)
