"""Nothing outlives the supervisor: not even when it is killed with SIGKILL."""

from __future__ import annotations

import contextlib
import signal
import subprocess

from localcloud.supervisor.leash import HAS_LEASHES

# A shell that reads which process groups are alive, and kills them when the supervisor's end of the pipe
# closes, for whatever reason. A shell, because it takes a tenth of an interpreter's memory.
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
# Where there are leashes, the guard is for a program that closes what it inherits. Elsewhere it is all there
# is, and one may be killed before it could do its work.
_SHELLS = 1 if HAS_LEASHES else 2


class Guard:
    """Knows the process groups that must die with this process."""

    def __init__(self, shells: int = _SHELLS) -> None:
        self._groups: set[int] = set()
        self._shells: list[subprocess.Popen[bytes] | None] = [_start() for _ in range(shells)]

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+ {group}")

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"- {group}")

    def renew(self) -> None:
        """Replace the shells that somebody has killed; where none can be started, a later call will."""
        for index, shell in enumerate(self._shells):
            if shell is not None and shell.poll() is None:
                continue
            _hang_up(shell)
            self._shells[index] = None
            with contextlib.suppress(OSError):  # no more processes, or descriptors
                fresh = self._shells[index] = _start()
                for group in self._groups:
                    _write(fresh, f"+ {group}")

    def close(self) -> None:
        """Kill what is still watched, and wait until the guard is gone."""
        for shell in self._shells:
            _hang_up(shell)
        for shell in self._shells:
            if shell is not None:
                shell.wait()

    def _tell(self, line: str) -> None:
        self.renew()
        for shell in self._shells:
            if shell is not None:
                _write(shell, line)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        restore_signals=True,
    )


def _hang_up(shell: subprocess.Popen[bytes] | None) -> None:
    if shell is not None and shell.stdin:
        with contextlib.suppress(OSError):
            shell.stdin.close()


def _write(shell: subprocess.Popen[bytes], line: str) -> None:
    assert shell.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        shell.stdin.write(line.encode() + b"\n")
        shell.stdin.flush()


def describe_exit(status: int) -> str:
    """What a subprocess's `status` means: `exited with status 1`, `was killed by SIGKILL`."""
    if status >= 0:
        return f"exited with status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"
