"""The methods' verbs and paths over HTTP/1.1, and what fills which field of a request.

Real service: the google.api.http annotations of cloudtasks.proto, locations.proto and operations.proto. What
neither the path nor the body fills may come as a query parameter, a field's path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from localcloud.tasks.messages import Message
from localcloud.transcoding import Malformed, from_mapping, read_object

_LOCATION = "projects/*/locations/*"
_QUEUE = f"{_LOCATION}/queues/*"
_TASK = f"{_QUEUE}/tasks/*"
_WHOLE = "*"
# What any Google API takes, about the call and not part of the request.
# We differ: they are taken without effect, but for `alt` and `$alt`; `fields` selects nothing.
_SYSTEM_PARAMETERS = frozenset(
    {"alt", "access_token", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser"}
    | {"$alt", "$prettyPrint", "$.xgafv", "upload_protocol", "uploadType"}
)
_SNAKE = re.compile(r"_([a-z])")


@dataclass(frozen=True, slots=True)
class Rule:
    """How one method is called."""

    method: str
    verb: str
    path: re.Pattern[str]
    field: str
    """The path of the request's field that the URL's path fills."""
    body: str
    """The field that the body fills; `*` is the whole request, empty means no field."""

    def request(self, message_class: Message, path: str, query: dict[str, list[str]], body: bytes) -> Message:
        """The request's message. Raises Malformed."""
        values: dict[str, Any] = {}
        if self.body:
            content = read_object(body)
            values = content if self.body == _WHOLE else {self.body: content}
        for name, texts in query.items():
            if name not in _SYSTEM_PARAMETERS:
                _add_parameter(values, message_class.DESCRIPTOR, name, texts)
        match = self.path.fullmatch(path)
        assert match is not None
        _set_name(values, self.field, unquote(match[1]))
        return from_mapping(message_class, values)


def _rule(method: str, verb: str, field: str, template: str, suffix: str = "", body: str = "") -> Rule:
    pattern = re.escape(template).replace(r"\*", "[^/]+")
    return Rule(method, verb, re.compile(f"({pattern}){re.escape(suffix)}"), field, body)


RULES = (
    _rule("ListQueues", "GET", "parent", _LOCATION, "/queues"),
    _rule("GetQueue", "GET", "name", _QUEUE),
    _rule("CreateQueue", "POST", "parent", _LOCATION, "/queues", body="queue"),
    _rule("UpdateQueue", "PATCH", "queue.name", _QUEUE, body="queue"),
    _rule("DeleteQueue", "DELETE", "name", _QUEUE),
    _rule("PurgeQueue", "POST", "name", _QUEUE, ":purge", body=_WHOLE),
    _rule("PauseQueue", "POST", "name", _QUEUE, ":pause", body=_WHOLE),
    _rule("ResumeQueue", "POST", "name", _QUEUE, ":resume", body=_WHOLE),
    _rule("ListTasks", "GET", "parent", _QUEUE, "/tasks"),
    _rule("GetTask", "GET", "name", _TASK),
    _rule("CreateTask", "POST", "parent", _QUEUE, "/tasks", body=_WHOLE),
    _rule("DeleteTask", "DELETE", "name", _TASK),
    _rule("RunTask", "POST", "name", _TASK, ":run", body=_WHOLE),
    _rule("BatchCreateTasks", "POST", "parent", _QUEUE, "/tasks:batchCreate", body=_WHOLE),
    _rule("BatchDeleteTasks", "POST", "parent", _QUEUE, "/tasks:batchDelete", body=_WHOLE),
    _rule("GetOperation", "GET", "name", f"{_LOCATION}/operations/*"),
    _rule("ListLocations", "GET", "name", "projects/*", "/locations"),
    _rule("GetLocation", "GET", "name", _LOCATION),
)


def find_rule(verb: str, path: str) -> Rule | None:
    """The rule for a path without its version."""
    for rule in RULES:
        if rule.verb == verb and rule.path.fullmatch(path):
            return rule
    return None


def _set_name(values: dict[str, Any], field: str, name: str) -> None:
    *parents, last = field.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    if values.get(last) not in (None, "", name):
        raise Malformed(f"The path says {name}, {field} in the body {values[last]!r}.")
    values[last] = name


def _add_parameter(values: dict[str, Any], descriptor: Descriptor, name: str, texts: list[str]) -> None:
    """Put a query parameter where its field's path leads. Raises Malformed."""
    *parents, last = name.split(".")
    message: Descriptor | None = descriptor
    for parent in parents:
        field = _field(message, parent)
        message = field.message_type if field is not None and not field.is_repeated else None
        inner = values.setdefault(parent, {})
        if message is None or not isinstance(inner, dict):
            raise _unknown(name)
        values = inner
    field = _field(message, last)
    if field is None:
        raise _unknown(name)
    wanted = [_value(field, text) for text in texts]
    values[last] = wanted if field.is_repeated else wanted[-1]


def _field(message: Descriptor | None, name: str) -> FieldDescriptor | None:
    """The field by its name in the proto or in JSON."""
    if message is None:
        return None
    return message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)


def _value(field: FieldDescriptor, text: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.FieldMask":
        # Real service: a mask in a URL may name its fields in either spelling.
        return _SNAKE.sub(lambda match: match[1].upper(), text)
    return text


def _unknown(name: str) -> Malformed:
    return Malformed(f"The query parameter {name[:100]!r} is not a field of the request.")
