"""google.datastore.v1.Datastore over HTTP/1.1: the service's own methods, as JSON and as protobuf.

Java's, PHP's and Ruby's clients may speak it, Python's does without gRPC, and so does curl.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import grpc

from localcloud.datastore import messages as m
from localcloud.datastore.calls import call
from localcloud.datastore.errors import Refused, invalid
from localcloud.datastore.messages import Message
from localcloud.datastore.service import IsWanted, Service
from localcloud.transcoding import (
    OK,
    Form,
    Malformed,
    answer_form,
    form_of,
    read_message,
    write_message,
    write_refusal,
)

PREFIX = "/v1/"
# Real service: POST /v1/projects/{project_id}:METHOD. A project's id may hold a colon: example.com:shop.
_PATH = re.compile(r"/v1/projects/([^/]+):([A-Za-z]+)")
_METHODS: dict[str, tuple[str, Message, Message]] = {
    "lookup": ("Lookup", m.LookupRequest, m.LookupResponse),
    "runQuery": ("RunQuery", m.RunQueryRequest, m.RunQueryResponse),
    "runAggregationQuery": (
        "RunAggregationQuery",
        m.RunAggregationQueryRequest,
        m.RunAggregationQueryResponse,
    ),
    "beginTransaction": ("BeginTransaction", m.BeginTransactionRequest, m.BeginTransactionResponse),
    "commit": ("Commit", m.CommitRequest, m.CommitResponse),
    "rollback": ("Rollback", m.RollbackRequest, m.RollbackResponse),
    "allocateIds": ("AllocateIds", m.AllocateIdsRequest, m.AllocateIdsResponse),
    "reserveIds": ("ReserveIds", m.ReserveIdsRequest, m.ReserveIdsResponse),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    content_type: str
    content: bytes


class HttpApi:
    """The methods by their paths."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._methods = service.methods

    def answer(self, target: str, content_type: str, content: bytes, is_wanted: IsWanted) -> Answer:
        """What a POST of `content` to the request target is answered."""
        url = urlsplit(target)
        parameters = parse_qs(url.query)
        alt = (parameters.get("alt") or parameters.get("$alt") or [""])[-1]
        form = Form.JSON
        try:
            asked = form_of(content_type)
            form = answer_form(asked, alt)
            return Answer(OK, form.content_type, self._call(url.path, content, asked, form, is_wanted))
        except Malformed as malformed:
            return refusal(invalid(malformed.message), form)
        except Refused as refused:
            return refusal(refused, form)

    def _call(self, path: str, content: bytes, asked: Form, form: Form, is_wanted: IsWanted) -> bytes:
        match = _PATH.fullmatch(path)
        if match is None or match[2] not in _METHODS:
            raise Refused(
                grpc.StatusCode.NOT_FOUND,
                f"There is no {path[:200]!r}. Expected /v1/projects/PROJECT:METHOD, METHOD of "
                f"{', '.join(_METHODS)}.",
            )
        name, request_class, response_class = _METHODS[match[2]]
        request = read_message(request_class, content, asked)
        project = unquote(match[1])
        if request.project_id not in ("", project):
            raise invalid(f"The path names the project {project!r}, the body {request.project_id!r}.")
        request.project_id = project
        response = call(self._service, name, self._methods[name], request.SerializeToString(), is_wanted)
        return response if form is Form.PROTOBUF else write_message(response_class.FromString(response), form)


def refusal(refused: Refused, form: Form) -> Answer:
    """A refused call's answer."""
    status, content = write_refusal(refused.code, refused.message, form)
    return Answer(status, form.content_type, content)
