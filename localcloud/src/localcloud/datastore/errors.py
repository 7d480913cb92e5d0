"""The two refusals: to a caller of the API, and to whoever starts the program."""

from __future__ import annotations

import grpc


class Refused(Exception):
    """A refused call: the status code and the message that the caller sees."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def is_contention(self) -> bool:
        """Is it ABORTED, so that a transaction that met it has ended?"""
        return self.code is grpc.StatusCode.ABORTED


class BadStart(Exception):
    """The program can't start: one line that says what was wrong, what was expected, what to do."""


def invalid(message: str) -> Refused:
    """The request can never succeed as it is."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> Refused:
    """The request is well formed, but the database is not in the state it needs."""
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, message)


def aborted(message: str = "too much contention on these datastore entities. please try again.") -> Refused:
    """Contention: the caller should repeat the request, or the whole transaction.

    Real service: code ABORTED, with this text from the Datastore emulator.
    """
    return Refused(grpc.StatusCode.ABORTED, message)


def not_found(message: str) -> Refused:
    """An update of an entity that is not there."""
    return Refused(grpc.StatusCode.NOT_FOUND, message)


def already_exists(message: str) -> Refused:
    """An insert of an entity that is there."""
    return Refused(grpc.StatusCode.ALREADY_EXISTS, message)


def unimplemented(message: str) -> Refused:
    """Something the API has, and this server has not."""
    return Refused(grpc.StatusCode.UNIMPLEMENTED, message)
