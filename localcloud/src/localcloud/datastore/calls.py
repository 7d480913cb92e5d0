"""One call of a method, over gRPC or HTTP: counted, and refused with a reason if it fails."""

from __future__ import annotations

import logging

import grpc

from localcloud.datastore.errors import Refused
from localcloud.datastore.service import IsWanted, Method, Service

_log = logging.getLogger(__name__)


def call(service: Service, name: str, method: Method, request: bytes, is_wanted: IsWanted) -> bytes:
    """The bytes of the response. Raises nothing but Refused."""
    service.counts.called(name)
    try:
        return method(request, is_wanted)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence
        trouble = service.file_trouble(error)
        if trouble is not None:
            raise Refused(grpc.StatusCode.UNAVAILABLE, trouble) from None
        _log.exception("%s failed", name)
        message = f"localcloud.datastore has a bug: see its log about {name}."
        raise Refused(grpc.StatusCode.INTERNAL, message) from None
