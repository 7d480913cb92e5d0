"""The console takes no memory until somebody visits it, and gives it back once nobody has for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from localcloud.supervisor.activation import Activation
from localcloud.supervisor.commands import Commands
from localcloud.supervisor.orders import Orders
from localcloud.supervisor.process import Process, StartError, Surroundings


class LazyConsole:
    """Listens for visitors, starts the console for the first one, and obeys it."""

    def __init__(self, commands: Commands, shared: Surroundings, restart: Callable[[str], None]) -> None:
        """`restart` is called with the label of the process that a visitor wants restarted."""
        self.process: Process | None = None
        self._commands = commands
        self._shared = shared
        self._restart = restart
        self._activation: Activation | None = None
        self._orders: Orders | None = None
        self._resting: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Begin. Raises StartError where the port is taken."""
        port = self._commands.console_port
        try:
            self._activation = Activation("127.0.0.1", port)
        except OSError as error:
            raise StartError(f"--console-port {port}: {error.strerror}", status=2) from None
        self._orders = Orders(self._obey)
        self._activation.on_first_connection(self._start)

    async def stop(self) -> None:
        """Stop the console, if it runs, and listen no more."""
        if self._resting is not None:
            self._resting.cancel()
        if self.process is not None:
            await self.process.stop()
        if self._activation is not None:
            self._activation.close()
        if self._orders is not None:
            self._orders.close()

    def _start(self) -> None:
        assert self._activation is not None
        assert self._orders is not None
        command = self._commands.console(self._activation.descriptor, self._orders.descriptor)
        self.process = Process(command, self._shared)
        self.process.start().add_done_callback(self._started)

    def _started(self, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._shared.console.say(f"localcloud: {error}")
            assert self._activation is not None
            self._activation.close()  # so those who wait learn that nothing will come

    def _obey(self, verb: str, label: str) -> None:
        if verb == "restart":
            self._restart(label)
        elif verb == "rest" and self._resting is None:
            self._resting = asyncio.create_task(self._rest())

    async def _rest(self) -> None:
        assert self.process is not None
        assert self._activation is not None
        await self.process.stop()
        self.process = self._resting = None
        self._activation.on_first_connection(self._start)
        self._shared.on_change()
