"""The server inside another program, a test for instance."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from localcloud.datastore.grpc_server import GrpcServer
from localcloud.datastore.housekeeping import Housekeeper
from localcloud.datastore.service import Service, Settings
from localcloud.datastore.side_port import SidePort


class DatastoreServer:
    """A Datastore on a free port: `start()`, `address`, `reset()`, `close()`.

    `settings` are the fields of `service.Settings`, such as `data` (a file; none: in memory), `concurrency`,
    `clock`. With `http_port`, 0 for a free one, the side port is there, too.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, http_port: int | None = None, **settings: Any
    ) -> None:
        self.settings = Settings(**settings)
        self._host = host
        self._port = port
        self._http_port = http_port
        self._service: Service | None = None
        self._grpc: GrpcServer | None = None
        self._side_port: SidePort | None = None
        self._housekeeper: Housekeeper | None = None

    def start(self) -> Self:
        """Serve. Raises BadStart."""
        service = self._service = Service(self.settings)
        try:
            self._grpc = GrpcServer(service, self._host, self._port)
            if self._http_port is not None:
                self._side_port = SidePort(service, self._host, self._http_port, self._grpc.port)
        except BaseException:
            self.close()
            raise
        self._housekeeper = Housekeeper(service)
        self._housekeeper.start()
        self._grpc.start()
        if self._side_port is not None:
            self._side_port.start()
        return self

    @property
    def service(self) -> Service:
        """The service behind the ports."""
        assert self._service is not None
        return self._service

    @property
    def address(self) -> str:
        """HOST:PORT, for DATASTORE_EMULATOR_HOST."""
        assert self._grpc is not None
        return f"{self._host}:{self._grpc.port}"

    @property
    def http_address(self) -> str | None:
        """HOST:PORT of the side port, if it is on."""
        return f"{self._host}:{self._side_port.port}" if self._side_port is not None else None

    def reset(self) -> None:
        """Forget everything: entities, transactions, counts."""
        self.service.reset()

    def close(self, grace_seconds: float = 2.0) -> None:
        """Answer what is under way, and stop. Doing so twice is fine."""
        if self._side_port is not None:
            self._side_port.stop()
            self._side_port = None
        if self._grpc is not None:
            self._grpc.stop(grace_seconds)
            self._grpc = None
        if self._housekeeper is not None:
            self._housekeeper.stop()
            self._housekeeper = None
        if self._service is not None:
            self._service.close()
            self._service = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
