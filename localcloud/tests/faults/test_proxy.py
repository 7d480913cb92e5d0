"""The proxy as a process: calls pass byte for byte, but for what the rules spoil."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from localcloud.testing import FaultyProxy, LocalCloudError

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    Handler = grpc.GenericRpcHandler

METHOD = "/google.datastore.v1.Datastore/Commit"


class Upstream(Handler):
    """A server that echoes, counts, and fails when it is asked to."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.metadata: dict[str, str | bytes] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.seen.append(request)
            self.metadata = dict(context.invocation_metadata())
            if request == b"fail":
                context.abort(grpc.StatusCode.ABORTED, "contention")
            return b"echo:" + request

        return grpc.unary_unary_rpc_method_handler(behave)


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[Upstream, str]]:
    handler = Upstream()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture(scope="module")
def running(upstream: tuple[Upstream, str]) -> Iterator[FaultyProxy]:
    with FaultyProxy(datastore=upstream[1], tasks=upstream[1]) as proxy:
        yield proxy


@pytest.fixture
def proxy(running: FaultyProxy, upstream: tuple[Upstream, str]) -> FaultyProxy:
    running.clear_faults()
    upstream[0].seen.clear()
    return running


def call(
    address: str, request: bytes, method: str = METHOD, timeout_seconds: float = 10.0
) -> bytes | tuple[grpc.StatusCode, str]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            answer: bytes = channel.unary_unary(method, bytes, bytes)(
                request, timeout=timeout_seconds, metadata=(("x-goog-request-params", "project_id=p"),)
            )
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
        return answer


@pytest.fixture
def slow_to_greet(upstream: tuple[Upstream, str]) -> Iterator[str]:
    """The upstream, as if too busy to greet: half a second passes before it sees a new connection."""
    host, _, port = upstream[1].partition(":")
    listener = socket.create_server((host, 0))
    open_sockets = [listener]

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # the test is over
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)

    def greet_late() -> None:
        client, _ = listener.accept()
        threading.Event().wait(0.5)
        server = socket.create_connection((host, int(port)))
        open_sockets.extend((client, server))
        threading.Thread(target=pump, args=(client, server), daemon=True).start()
        threading.Thread(target=pump, args=(server, client), daemon=True).start()

    threading.Thread(target=greet_late, daemon=True).start()
    yield f"{host}:{listener.getsockname()[1]}"
    for each in open_sockets:
        each.close()


def test_a_server_that_is_slow_to_greet_is_not_taken_for_one_that_is_away(slow_to_greet: str) -> None:
    with FaultyProxy(datastore=slow_to_greet) as proxy:
        assert call(proxy.address, b"patience") == b"echo:patience"


def test_a_call_passes_unharmed_with_its_metadata(proxy: FaultyProxy, upstream: tuple[Upstream, str]) -> None:
    big = bytes(range(256)) * 40_000
    assert call(proxy.datastore_address, big) == b"echo:" + big
    assert call(proxy.tasks_address, b"task") == b"echo:task"
    assert upstream[0].metadata["x-goog-request-params"] == "project_id=p"


def test_the_servers_own_failure_passes(proxy: FaultyProxy) -> None:
    assert call(proxy.datastore_address, b"fail") == (grpc.StatusCode.ABORTED, "contention")


def test_a_lost_request_never_reaches_the_server(proxy: FaultyProxy, upstream: tuple[Upstream, str]) -> None:
    proxy.set_faults(datastore=[{"fault": "request_lost", "calls": [1]}])
    answer = call(proxy.datastore_address, b"1")
    assert answer[0] == grpc.StatusCode.UNAVAILABLE
    assert upstream[0].seen == []
    assert call(proxy.datastore_address, b"2") == b"echo:2"


def test_a_lost_answer_is_work_that_was_done(proxy: FaultyProxy, upstream: tuple[Upstream, str]) -> None:
    proxy.set_faults(
        datastore=[{"fault": "response_lost", "method": "Commit", "times": 1, "code": "INTERNAL"}]
    )
    assert call(proxy.datastore_address, b"0", METHOD.replace("Commit", "Lookup")) == b"echo:0"
    answer = call(proxy.datastore_address, b"1")
    assert answer[0] == grpc.StatusCode.INTERNAL
    assert upstream[0].seen == [b"0", b"1"]
    assert proxy.report()["datastore"]["rules"][0]["struck"] == 1


def test_a_delay_can_outlast_the_callers_patience(proxy: FaultyProxy, upstream: tuple[Upstream, str]) -> None:
    proxy.set_faults(datastore=[{"fault": "delay_response", "delay_seconds": 5}])
    answer = call(proxy.datastore_address, b"1", timeout_seconds=0.3)
    assert answer[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert upstream[0].seen == [b"1"]


def test_each_server_has_rules_of_its_own(proxy: FaultyProxy) -> None:
    proxy.set_faults(tasks=[{"fault": "request_lost"}])
    assert call(proxy.datastore_address, b"1") == b"echo:1"
    assert call(proxy.tasks_address, b"1")[0] == grpc.StatusCode.UNAVAILABLE
    proxy.clear_faults()
    assert call(proxy.tasks_address, b"1") == b"echo:1"


@pytest.mark.parametrize("rules", [{"mars": []}, {"datastore": {}}, {"datastore": [{"fault": "x"}]}])
def test_a_mistake_is_answered_with_what_was_expected(
    proxy: FaultyProxy, rules: dict[str, list[dict[str, str]]]
) -> None:
    with pytest.raises(LocalCloudError, match="400 .*expected"):
        proxy.set_faults(**rules)


def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    with FaultyProxy(datastore="127.0.0.1:1", folder=tmp_path) as proxy:
        assert call(proxy.datastore_address, b"1")[0] == grpc.StatusCode.UNAVAILABLE
        assert proxy.stop() == 0


def test_a_script_that_is_wrong_is_one_line(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text('{"datastore": [{"fault": "x"}]}')
    proxy = FaultyProxy(datastore="127.0.0.1:1", folder=tmp_path)
    proxy._arguments += ["--script", str(script)]
    with pytest.raises(
        LocalCloudError, match="exited with 2: localcloud.faults: .*faults.json: rule 1, fault: 'x'"
    ):
        proxy.start()
    assert len(proxy.log().splitlines()) == 1
