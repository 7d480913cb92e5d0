"""Nothing outlives the supervisor: not even when it is killed with SIGKILL."""

from __future__ import annotations

import contextlib
import signal
import subprocess

# A shell that reads which process groups are alive, and kills them when the supervisor's end of the pipe
# closes, however that came about. A shell, because it weighs a tenth of an interpreter.
_SCRIPT = """
trap '' INT TERM HUP
groups=''
while read -r sign group; do
  rest=''
  for known in $groups; do [ "$known" = "$group" ] || rest="$rest $known"; done
  groups=$rest
  [ "$sign" = '+' ] && groups="$groups $group"
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
exit 0
"""


class Guard:
    """Knows the process groups that must die with this process."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._shell = self._start()

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+ {group}")

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"- {group}")

    def close(self) -> None:
        """Kill what is still watched, and wait until the guard is gone."""
        self._hang_up()
        self._shell.wait()

    def _tell(self, line: str) -> None:
        if self._shell.poll() is not None:  # somebody killed the guard: post another
            self._hang_up()
            self._shell = self._start()
            for group in self._groups:
                self._write(f"+ {group}")
        self._write(line)

    def _hang_up(self) -> None:
        if self._shell.stdin:
            with contextlib.suppress(OSError):
                self._shell.stdin.close()

    def _write(self, line: str) -> None:
        assert self._shell.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._shell.stdin.write(line.encode() + b"\n")
            self._shell.stdin.flush()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            restore_signals=True,
        )


def describe_exit(status: int) -> str:
    """What a subprocess's `status` means: `exited with status 1`, `was killed by SIGKILL`."""
    if status >= 0:
        return f"exited with status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"
