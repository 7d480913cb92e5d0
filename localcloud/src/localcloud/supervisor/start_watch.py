"""Says why a start takes long: what it waits for, and which program listens where nobody will call it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localcloud.configuration import Service
from localcloud.fixed_port import with_variable
from localcloud.supervisor.process import Process
from localcloud.supervisor.sockets import Listener, listeners_of_session

# A program may open another port first, for a debugger: it has this long to open the right one, too.
_LOOKS_BEFORE_WORD = 2


@dataclass(slots=True)
class Starting:
    """A process that is being started. `service` and `port`: None for one of the platform's own."""

    process: Process
    service: Service | None = None
    port: int | None = None
    looks: int = 0
    is_settled: bool = False

    def takes(self, port: int) -> str | None:
        """What to say if this program listens on a port that it must not take."""
        found = sorted(self.listeners())
        if self.service is None or all(one.port != port for one in found):
            return None
        return _wrong_port(self, self.service, found)

    def listeners(self) -> set[Listener]:
        pid = self.process.pid
        return set() if pid is None or self.port is None else listeners_of_session(pid)


class StartWatch:
    """Looks at all processes, once a second, until they are ready."""

    def __init__(
        self,
        starting: Sequence[Starting],
        say: Callable[[str], None],
        *,
        look_every_seconds: float = 1.0,
        say_after_seconds: float = 30.0,
    ) -> None:
        self._starting = starting
        self._say = say
        self._look_every_seconds = look_every_seconds
        self._say_after_seconds = say_after_seconds

    async def run(self) -> None:
        """Until all are ready, or cancelled."""
        began = time.monotonic()
        has_said = False
        while not all(one.process.is_ready for one in self._starting):
            await asyncio.sleep(self._look_every_seconds)
            for one in self._starting:
                self._look(one)
            late = time.monotonic() - began >= self._say_after_seconds
            # What has no process yet waits for the others itself.
            waiting = [
                _waits_for(one)
                for one in self._starting
                if not one.process.is_ready and one.process.pid is not None
            ]
            if late and waiting and not has_said:
                has_said = True
                self._say(f"Still waiting after {self._say_after_seconds:.0f} s for {'; '.join(waiting)}.")
        for one in self._starting:
            self._look(one)

    def _look(self, one: Starting) -> None:
        if one.is_settled or one.service is None:
            return
        found = one.listeners()
        open_ports = {listener.port for listener in found}
        if one.process.is_ready:
            one.is_settled = True
            exposed = sorted(listener for listener in found if listener.is_for_everybody)
            if exposed:
                self._say(
                    f"{one.process.command.label} listens on {_list(exposed)}: other machines in your "
                    "network reach it there, past the front end. Let it listen on 127.0.0.1."
                )
        elif found and one.port not in open_ports:
            one.looks += 1
            if one.looks >= _LOOKS_BEFORE_WORD:
                one.is_settled = True
                self._say(_wrong_port(one, one.service, sorted(found)))


def _wrong_port(one: Starting, service: Service, found: Sequence[Listener]) -> str:
    exposed = any(listener.is_for_everybody for listener in found)
    text = f"{one.process.command.label} listens on {_list(found)}"
    text += ", where other machines in your network reach it," if exposed else ""
    text += f" but its requests come to the port in the variable PORT, here {one.port}."
    for listener in found:
        entrypoint = with_variable(service.entrypoint, listener.port)
        if entrypoint is not None:
            return f"{text} Write in {service.file.name}: entrypoint: {entrypoint}"
    return f"{text} Let the program read PORT (on App Engine it is 8080)."


def _waits_for(one: Starting) -> str:
    label = one.process.command.label
    if one.service is None or one.port is None:
        return f"{label} to start (its log: {one.process.log.path})"
    is_open = one.port in {listener.port for listener in one.listeners()}
    asked = one.service.first_request
    what = f"answer {asked}" if is_open and asked else f"listen on port {one.port}, its PORT"
    return f"{label} to {what} (its log: {one.process.log.path})"


def _list(listeners: Sequence[Listener]) -> str:
    return " and ".join(str(listener) for listener in listeners)
