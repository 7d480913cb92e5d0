"""Between HTTP/1.1 and the methods of an API: messages as JSON or protobuf, refusals as google.rpc.Status.

Real service: the JSON is protobuf's own mapping, which takes camelCase and snake_case names; the statuses are
those of google.rpc.Code.
"""

from __future__ import annotations

import enum
import json
from typing import Any, TypeAlias

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

Message: TypeAlias = Any
Status: Message = status_pb2.Status

OK = 200
_HTTP_STATUSES = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
_JSON_TYPES = frozenset({"", "application/json", "text/json"})
_PROTOBUF_TYPES = frozenset({"application/x-protobuf", "application/protobuf"})


class Form(enum.Enum):
    """How a message is written in a body."""

    JSON = enum.auto()
    JSON_WITH_ENUM_NUMBERS = enum.auto()
    PROTOBUF = enum.auto()

    @property
    def content_type(self) -> str:
        return "application/x-protobuf" if self is Form.PROTOBUF else "application/json; charset=UTF-8"


class Malformed(Exception):
    """A request that can't be read: INVALID_ARGUMENT, with the sentence that the caller sees."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def form_of(content_type: str) -> Form:
    """The form of a request's body, by its Content-Type; without one, JSON. Raises Malformed."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _PROTOBUF_TYPES:
        return Form.PROTOBUF
    if media_type in _JSON_TYPES:
        return Form.JSON
    raise Malformed(
        f"Content-Type is {media_type[:100]!r}. Expected application/json or application/x-protobuf."
    )


def answer_form(asked: Form, alt: str) -> Form:
    """The form of the answer to a request in the form `asked`; `alt` is its query parameter of that name.

    Real service: `alt` and `$alt` are json or proto; Google's REST clients ask for numbers instead of the
    names of enums.
    """
    if alt == "proto":
        return Form.PROTOBUF
    if alt.startswith("json"):
        return Form.JSON_WITH_ENUM_NUMBERS if "enum-encoding=int" in alt else Form.JSON
    return asked


def read_message(message_class: Message, content: bytes, form: Form) -> Message:
    """The message in a body. Raises Malformed."""
    if form is Form.PROTOBUF:
        try:
            return message_class.FromString(content)
        except DecodeError:
            raise Malformed(f"The request's bytes are no {message_class.DESCRIPTOR.name}.") from None
    return from_mapping(message_class, read_object(content))


def read_object(content: bytes) -> dict[str, Any]:
    """The JSON object in a body; nothing is an empty one. Raises Malformed."""
    if not content:
        return {}
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The request's body is not JSON: {error}.") from None
    if not isinstance(values, dict):
        raise Malformed(f"The request's body is a JSON {type(values).__name__}. Expected an object.")
    return values


def from_mapping(message_class: Message, values: dict[str, Any]) -> Message:
    """The message that a JSON object describes. Raises Malformed."""
    try:
        return json_format.ParseDict(values, message_class())
    except (json_format.Error, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # Of its several lines the first says what is wrong; the others list a message's fields.
        reason = str(error).partition("\n")[0].rstrip(". ")
        raise Malformed(f"The request is no {message_class.DESCRIPTOR.name}: {reason}.") from None


def write_message(message: Message, form: Form) -> bytes:
    """The message as a body."""
    if form is Form.PROTOBUF:
        content: bytes = message.SerializeToString()
        return content
    text = json_format.MessageToJson(
        message, ensure_ascii=False, use_integers_for_enums=form is Form.JSON_WITH_ENUM_NUMBERS
    )
    return f"{text}\n".encode()


def write_refusal(code: grpc.StatusCode, message: str, form: Form) -> tuple[int, bytes]:
    """The HTTP status and the body of a refused call: a google.rpc.Status."""
    status = _HTTP_STATUSES[code]
    if form is Form.PROTOBUF:
        content: bytes = Status(code=code.value[0], message=message).SerializeToString()
        return status, content
    error = {"error": {"code": status, "message": message, "status": code.name}}
    return status, f"{json.dumps(error, indent=2, ensure_ascii=False)}\n".encode()
