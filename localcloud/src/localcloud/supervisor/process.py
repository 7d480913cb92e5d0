"""One process of the local cloud: started, watched, started again when it dies, stopped when asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.supervisor.guard import Guard, describe_exit
from localcloud.supervisor.leash import OPEN_GATE, Leash, gated
from localcloud.supervisor.logs import Console, LineSplitter, LogFile
from localcloud.supervisor.refusals import Refusals

_READING_PAUSE_SECONDS = 0.02
_SHORTEST_PAUSE_SECONDS = 0.1
# Once a cause outside of the program (a full disk) is gone, everything must run again within ten seconds.
_LONGEST_PAUSE_SECONDS = 4.0
# How often to say that a process can't be started: its causes last longer than its pauses.
_TELL_EVERY_SECONDS = 60.0
# A process that ran this long was healthy: the next pause is the shortest again.
_WELL_AFTER_SECONDS = 5.0
# A `kill -9`, or a machine out of memory, says nothing about the program: this many are forgiven.
_MOST_KILLS_AT_START = 3


# What gunicorn says about itself, after the program has said why it can't go on.
_ABOUT_GUNICORN = re.compile(r"\[[^]]+\] \[\d+\] \[[A-Z]+\] ")


class StartError(Exception):
    """A process can't be started at all. The text is one line; `status` is what the supervisor exits with."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Command:
    """What to start. `label` names the process in the terminal and its log file."""

    label: str
    arguments: list[str]
    environment: Mapping[str, str]
    folder: Path
    # A line that begins with this says that the process is ready; None: `ready` of the process asks.
    ready_line: str | None = None
    stop_seconds: float = 5.0
    # Open files that it inherits, by their numbers.
    inherits: tuple[int, ...] = ()
    # Is the first process the one that stops the others? Not so where a shell has stayed in front.
    leads: bool = True


@dataclass(slots=True)
class Surroundings:
    """What all processes share."""

    console: Console
    guard: Guard
    log_folder: Path
    refusals: Refusals
    on_change: Callable[[], None] = field(default=lambda: None)
    on_lines: Callable[[str, list[str]], None] = field(default=lambda _label, _lines: None)


class _Life(asyncio.SubprocessProtocol):
    """One life of a process: what it prints, and its end.

    asyncio's own Process.wait() returns only when the output is closed, too, which a child that was left
    behind keeps open.
    """

    def __init__(self, log: LogFile, show: Callable[[list[str]], None]) -> None:
        self.ended = asyncio.Event()
        self.silent = asyncio.Event()
        self._log = log
        self._splitter = LineSplitter(show)
        self._output: asyncio.ReadTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        output = transport.get_pipe_transport(1)
        assert isinstance(output, asyncio.ReadTransport)
        self._output = output

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - the protocol's signature
        self._log.write(data)
        self._splitter.feed(data)
        assert self._output is not None
        # A busy service prints a line for each request. Those of a moment are copied together.
        self._output.pause_reading()
        asyncio.get_running_loop().call_later(_READING_PAUSE_SECONDS, self._read_on, self._output)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        if fd == 0:
            return
        self._splitter.finish()
        self.silent.set()

    def process_exited(self) -> None:
        self.ended.set()

    @staticmethod
    def _read_on(output: asyncio.ReadTransport) -> None:
        if not output.is_closing():
            output.resume_reading()


class Process:
    """A command that is kept running."""

    def __init__(
        self,
        command: Command,
        shared: Surroundings,
        probe: Callable[[Process], Awaitable[None]] | None = None,
    ) -> None:
        """`probe` returns once a process without a ready line is ready; StartError: it never will be."""
        self.command = command
        self.log = LogFile(shared.log_folder / f"{command.label}.log", shared.refusals.note)
        self.last_line = ""
        self.pid: int | None = None
        self.is_ready = False
        self.restarts = 0
        self._shared = shared
        self._probe = probe
        self._stopping = False
        self._was_ready = False
        self._told_at: float | None = None
        self._wake = asyncio.Event()
        self._announced = asyncio.Event()
        self._wished_restart = False
        self._first_start: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._start_error: StartError | None = None
        self._keeper: asyncio.Task[None] | None = None
        shared.console.introduce(command.label)

    def start(self) -> asyncio.Future[None]:
        """Begin. The result is done when the process is ready for the first time, or has a StartError."""
        self._keeper = asyncio.create_task(self._keep_running())
        return self._first_start

    def restart(self) -> None:
        """Stop it gracefully and start it at once; if it is pausing after a crash, end the pause."""
        self._wished_restart = True
        self._signal(signal.SIGTERM, leader_only=self.command.leads)
        self._wake.set()
        asyncio.get_running_loop().call_later(self.command.stop_seconds, self._kill_life, self.pid)

    def reread(self) -> None:
        """Ask it to read its configuration again (SIGHUP)."""
        if self.is_ready:
            self._signal(signal.SIGHUP, leader_only=True)

    def kill(self) -> None:
        """End it at once, and for good."""
        self._stopping = True
        self._wake.set()
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to stop; after `stop_seconds`, make it. A second call does nothing."""
        self._stopping = True
        self._wake.set()
        self._signal(signal.SIGTERM, leader_only=self.command.leads)
        if self._keeper is not None:
            done, _ = await asyncio.wait({self._keeper}, timeout=self.command.stop_seconds)
            if not done:
                self._shared.console.say(f"{self.command.label} does not stop: killed.")
                self._signal(signal.SIGKILL)
                await asyncio.wait({self._keeper}, timeout=2.0)
        self.log.close()

    async def _keep_running(self) -> None:
        pause = _SHORTEST_PAUSE_SECONDS
        kills_at_start = 0
        while not self._stopping:
            self._wished_restart = False
            began = time.monotonic()
            try:
                status = await self._run_once()
            except OSError as error:  # no shell, no folder, no more processes
                self.last_line, status = f"can't be started: {error}", 127
            if self._stopping:
                break
            if not self._first_start.done():
                kills_at_start += 1
                if status != -signal.SIGKILL or kills_at_start > _MOST_KILLS_AT_START:
                    self._first_start.set_exception(self._failure(status))
                    break
            self.restarts += 1
            if self._wished_restart:
                continue
            lived = time.monotonic() - began
            pause = _SHORTEST_PAUSE_SECONDS if lived >= _WELL_AFTER_SECONDS else pause
            self._tell_end(status, pause)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        if self._first_start.done():
            return
        if self._start_error is not None:
            self._first_start.set_exception(self._start_error)
        else:
            self._first_start.cancel()

    def _tell_end(self, status: int, pause: float) -> None:
        """Always after it was ready; once a minute while it never gets that far."""
        now = time.monotonic()
        if self._was_ready:
            self._told_at = None
        elif self._told_at is None or now - self._told_at >= _TELL_EVERY_SECONDS:
            self._told_at = now
        else:
            return
        said = self.last_line.strip().rstrip(".")
        # What a platform process prints before it is ready is not shown, but for the reason it gives here.
        reason = f": {said}" if said and self.command.ready_line and not self._was_ready else ""
        self._shared.console.say(
            f"{self.command.label} {describe_exit(status)}{reason}; starting it again in {pause:.1f} s. "
            f"Its log: {self.log.path}"
        )

    async def _run_once(self) -> int:
        """One life of the process: its exit status. OSError: it could not be started, and nothing runs."""
        self._announced.clear()
        self._was_ready = False
        self.last_line = ""
        leash = Leash()
        try:
            transport, life = await self._spawn(leash)
            try:
                return await self._live(transport, life, leash)
            finally:
                transport.close()
                self.pid = None
        finally:
            leash.let_go()

    async def _spawn(self, leash: Leash) -> tuple[asyncio.SubprocessTransport, _Life]:
        """The process, which waits for its gate to open."""
        return await asyncio.get_running_loop().subprocess_exec(
            lambda: _Life(self.log, self._show),
            *gated(self.command.arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self.command.environment),
            cwd=self.command.folder,
            start_new_session=True,
            pass_fds=(leash.end, *self.command.inherits),
        )

    async def _live(self, transport: asyncio.SubprocessTransport, life: _Life, leash: Leash) -> int:
        """Tie the process and let it begin; wait for its end, and end what it has left behind."""
        self.pid = group = transport.get_pid()
        leash.tie(group)
        self._shared.guard.watch(group)
        gate = transport.get_pipe_transport(0)
        assert isinstance(gate, asyncio.WriteTransport)
        gate.write(OPEN_GATE)
        gate.close()
        self._shared.on_change()
        if self._stopping:
            self._signal(signal.SIGKILL)
        watcher = asyncio.create_task(self._become_ready())
        try:
            await life.ended.wait()
        finally:
            self.is_ready = False
            watcher.cancel()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)  # what it started and left behind
            self._shared.guard.forget(group)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(life.silent.wait(), 1.0)
        await asyncio.wait({watcher})
        self.pid = None
        self._shared.on_change()
        return transport.get_returncode() or 0

    async def _become_ready(self) -> None:
        try:
            if self.command.ready_line is not None:
                await self._announced.wait()
            elif self._probe is not None:
                await self._probe(self)
        except StartError as error:
            if not self._first_start.done():
                self._start_error = error  # told when all that it has printed is shown
                self.kill()
                return
            self._shared.console.say(f"{error}")
        self.is_ready = self._was_ready = True
        self._shared.on_change()
        if not self._first_start.done():
            self._first_start.set_result(None)

    def _show(self, lines: list[str]) -> None:
        self._shared.on_lines(self.command.label, lines)
        telling = (line for line in reversed(lines) if line.strip() and not _ABOUT_GUNICORN.match(line))
        self.last_line = next(telling, self.last_line)
        if self.command.ready_line is not None and not self._announced.is_set():
            remaining = [line for line in lines if not line.startswith(self.command.ready_line)]
            if len(remaining) < len(lines):
                self._announced.set()
            lines = remaining
        # Until it is ready, a platform process prints nothing but the reason why it can't be.
        if lines and (self.command.ready_line is None or self._announced.is_set()):
            self._shared.console.lines(self.command.label, lines)

    def _failure(self, status: int) -> StartError:
        said = self.last_line.strip()
        if self.command.ready_line is not None and status == 2 and said:
            return StartError(said, status=2)  # its own clear line: a taken port, a malformed file
        return StartError(
            f"{self.command.label} {describe_exit(status)} before it was ready"
            + (f": {said.rstrip('.')}" if said else "")
            + f". Its log: {self.log.path}"
        )

    def _kill_life(self, pid: int | None) -> None:
        if self.pid == pid:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals, *, leader_only: bool = False) -> None:
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if leader_only:
                os.kill(self.pid, number)
            else:
                os.killpg(self.pid, number)
