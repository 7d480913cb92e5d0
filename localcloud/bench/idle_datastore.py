"""A Datastore that keeps nothing: what a client and gRPC need by themselves, as a peer for the benchmark.

Every key is missing and every commit succeeds. `python -m bench.idle_datastore` prints its address and serves
until it is ended.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import grpc
from google.cloud.datastore_v1.types import datastore

_lookup = datastore.LookupRequest.pb()
_lookup_response = datastore.LookupResponse.pb()
_commit = datastore.CommitRequest.pb()
_commit_response = datastore.CommitResponse.pb()
_BEGUN: bytes = datastore.BeginTransactionResponse.pb()(transaction=b"any").SerializeToString()


class IdleDatastore:
    """The program below as a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench.idle_datastore"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _begin(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    return _BEGUN


def _missing(request: bytes, _context: grpc.ServicerContext) -> bytes:
    response = _lookup_response()
    lookup = _lookup.FromString(request)
    if lookup.read_options.HasField("new_transaction"):
        response.transaction = b"any"
    for key in lookup.keys:
        response.missing.add(version=1).entity.key.CopyFrom(key)
    answer: bytes = response.SerializeToString()
    return answer


def _committed(request: bytes, _context: grpc.ServicerContext) -> bytes:
    response = _commit_response()
    for _ in _commit.FromString(request).mutations:
        response.mutation_results.add(version=1)
    answer: bytes = response.SerializeToString()
    return answer


def main() -> None:
    """Serve on a free port."""
    methods: dict[str, Callable[[bytes, grpc.ServicerContext], bytes]] = {
        "BeginTransaction": _begin,
        "Lookup": _missing,
        "Commit": _committed,
    }
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    server = grpc.server(ThreadPoolExecutor(64))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.datastore.v1.Datastore", handlers),)
    )
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
