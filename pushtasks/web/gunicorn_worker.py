"""A gunicorn worker whose threads take requests themselves, instead of being handed each one.

gunicorn's own threaded worker passes every request from its main thread to a thread and back: a future, three
locks, a pipe and four changes of the poller, which is more than half of the processor time of a small request
(docs/performance.md). Here all threads wait on one epoll, and the one that gets a connection reads the
request, answers it, and lets the connection wait again. The main thread accepts connections, closes those
that have been idle for too long, and handles the shutdown; reading, parsing and answering are gunicorn's own.

A system without epoll (macOS) gets gunicorn's worker. `--worker-class gthread` gets it anywhere.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

_LOOK_EVERY_S = 1.0
"""How often the main thread looks for idle connections, and for the end of its parent."""


class _SharedPollWorker(ThreadWorker):
    """The same command line, answers and signals as gunicorn's `gthread`."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.alive: bool
        self.keepalived_conns: dict[int, Any] = {}
        """Those that wait for a request, by file descriptor, the longest waiting first. Whoever takes one out
        owns it: the thread that serves it, or the main thread, which closes it."""
        self._open: set[Any] = set()
        self._requests = select.epoll()
        self._stop_reading, self._stop_writing = os.pipe()

    def accept(self, listener: Any) -> None:
        """Accept a connection; any free thread takes its request."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another process has taken it, or it is gone
        connection = TConn(self.cfg, client, address, listener.getsockname())
        self._open.add(connection)
        connection.set_timeout()
        descriptor = client.fileno()
        self.keepalived_conns[descriptor] = connection
        self._requests.register(descriptor, select.EPOLLIN | select.EPOLLONESHOT)

    def run(self) -> None:
        """Serve until told to stop; then finish what has been accepted."""
        self.poller.register(self.method_queue.fileno(), select.EPOLLIN, self.method_queue.run_callbacks)
        # Not one-shot: once it is closed, every thread sees it.
        self._requests.register(self._stop_reading, select.EPOLLIN)
        for number in range(self.cfg.threads):
            threading.Thread(target=self._serve, name=f"requests-{number}", daemon=True).start()
        looked_at = time.monotonic()
        while self.alive:
            self.set_accept_enabled(len(self._open) < self.worker_connections)
            self.wait_for_and_dispatch_events(timeout=_LOOK_EVERY_S)
            if (now := time.monotonic()) - looked_at < _LOOK_EVERY_S:
                continue
            looked_at = now
            self.notify()
            if not self.is_parent_alive():
                break
            self._close_idle(now)
        self.alive = False
        self.set_accept_enabled(False)
        self._finish()
        os.close(self._stop_writing)
        for listener in self.sockets:
            listener.close()

    def _finish(self) -> None:
        """Wait for requests under way, and briefly for those that clients are sending."""
        now = time.monotonic()
        linger_until, end = now + STOP_KEEPALIVE_LINGER, now + self.cfg.graceful_timeout
        while self._open and (now := time.monotonic()) < end:
            self.notify()
            # A thread that is done with a connection wakes us.
            self.wait_for_and_dispatch_events(timeout=min(_LOOK_EVERY_S, max(0.01, linger_until - now)))
            now = time.monotonic()
            self._close_idle(now if now < linger_until else float("inf"))

    def _close_idle(self, now: float) -> None:
        for descriptor, connection in list(self.keepalived_conns.items()):
            if connection.timeout > now:
                return
            if _has_request(connection):
                continue  # which waits for a thread
            if self.keepalived_conns.pop(descriptor, None) is connection:
                self._close(connection)

    def _serve(self) -> None:
        """One thread: one request after another, from any connection."""
        while True:
            for descriptor, _ in self._requests.poll(maxevents=1):
                if descriptor == self._stop_reading:
                    return
                connection = self.keepalived_conns.pop(descriptor, None)
                if connection is not None:
                    self._serve_connection(descriptor, connection)

    def _serve_connection(self, descriptor: int, connection: Any) -> None:
        try:
            keeps = self.handle(connection)
            # Bytes that followed a request were read together with it: no poller would report them.
            while keeps is True and connection.parser.unreader.buf.getvalue():
                keeps = self.handle(connection)
            if keeps:
                connection.set_timeout()
                self.keepalived_conns[descriptor] = connection
                self._requests.modify(descriptor, select.EPOLLIN | select.EPOLLONESHOT)
        except BaseException:  # a thread that ends would never be replaced
            self.log.exception("Failed outside of any request")
            keeps = False
        if not keeps:
            self.keepalived_conns.pop(descriptor, None)
            self._close(connection, graceful=True)

    def _close(self, connection: Any, *, graceful: bool = False) -> None:
        with contextlib.suppress(OSError):  # the client was quicker
            connection.close(graceful=graceful)
        self._open.discard(connection)
        if not self.alive:
            self.method_queue.defer(_wake)


def _has_request(connection: Any) -> bool:
    """Whether its client has sent something that nobody has read."""
    try:
        return bool(connection.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except (OSError, ValueError):  # nothing there, no client any more, or TLS, which can only be read
        return False


def _wake() -> None:
    """Nothing to do but to look again."""


Worker = _SharedPollWorker if hasattr(select, "epoll") else ThreadWorker
