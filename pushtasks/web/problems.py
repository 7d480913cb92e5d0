"""What went wrong with a request, as RFC 9457 problem details, or as a page for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from pushtasks.enqueue import Enqueued, State
from pushtasks.errors import DatastoreRefused, KeyReused, OutcomeUnknown, QueueRefused, Rejected, TaskFailure
from pushtasks.web.pages import render


class Problem(Exception):
    """An answer that is an error. `members` say where it was, what was there, what was expected."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    def as_json(self) -> bytes:
        body = {"title": self.title, "status": self.status, "detail": self.detail, **self.members}
        return json.dumps(body, default=str).encode()

    def as_page(self) -> bytes:
        return render("error.html", title=self.title, status=self.status, detail=self.detail).encode()


def invalid(problem: Rejected, status: int = 400) -> Problem:
    return Problem(
        status, problem.sentence, field=problem.field, value=problem.given, expected=problem.expected
    )


def problem_of(error: Exception) -> Problem | None:
    """The answer to an exception of the domain; None for one that nobody expected."""
    match error:
        case Problem():
            return error
        case Rejected():
            return invalid(error)
        case KeyReused():
            return Problem(
                422,
                "This Idempotency-Key was used before with another payload. Nothing was enqueued. "
                "Expected the same payload, or a new key.",
                field="Idempotency-Key",
                expected="the payload that the key was first used with, or a new key",
            )
        case DatastoreRefused():
            return Problem(500, f"{error}. The log says why.")
        case TaskFailure() | OutcomeUnknown():
            return Problem(
                503, f"{str(error).rstrip('.')}. Try again in a moment.", headers={"Retry-After": "2"}
            )
        case QueueRefused():
            return Problem(500, f"The task queue refused: {error}")
    return None


def not_enqueued(answer: Enqueued) -> Problem:
    """What to say when a task may not be there."""
    if answer.state is State.UNKNOWN:
        return Problem(
            503,
            f"{answer.detail}, so the task {answer.task} may be enqueued or not. "
            f"Ask for it at /api/tasks/{answer.task}, or repeat the request if it had an Idempotency-Key.",
            headers={"Retry-After": "2"},
            task=answer.task,
            state=answer.state,
        )
    if answer.state is State.REMOVED:
        return Problem(
            409,
            f"The task {answer.task} of this Idempotency-Key was removed from its queue (purged, or deleted "
            "there) and has not been applied. Nothing was enqueued. Send it under a new key.",
            field="Idempotency-Key",
            expected="a new key",
            task=answer.task,
            state=answer.state,
        )
    return Problem(500, f"The task queue refused: {answer.detail}", task=answer.task, state=answer.state)


def wants_page(accept: str) -> bool:
    """Whether an Accept header asks for HTML rather than JSON."""
    before, html, _ = accept.partition("text/html")
    return bool(html) and "json" not in before


def rendered(problem: Problem, accept: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body of the answer, in the form that the client asks for."""
    if wants_page(accept):
        content_type, body = "text/html; charset=utf-8", problem.as_page()
    else:
        content_type, body = "application/problem+json", problem.as_json()
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), *problem.headers.items()]
    return f"{problem.status} {problem.title}", headers, body
