"""The server as a process of its own, to be killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src"
LOCATION = "projects/local-project/locations/us-central1"
QUEUES = "queue:\n- name: q\n  rate: 500/s\n  bucket_size: 500\n  max_concurrent_requests: 50\n"


class ServerProcess:
    """`python -m localcloud.tasks` with a file; ready once made. `before_it` is Python that it runs first."""

    def __init__(self, folder: Path, target: str, *options: str, before_it: str = "") -> None:
        queues = folder / "queue.yaml"
        if not queues.exists():
            queues.write_text(QUEUES)
        program = f"{before_it}\nimport runpy; runpy.run_module('localcloud.tasks', run_name='__main__')"
        command = [sys.executable, "-c", program, "--queues", str(queues), "--port", "0"]
        command += ["--target", target, "--data", str(folder / "tasks.sqlite3"), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()
        if " ready on " not in self.ready_line:
            self.kill()
            raise AssertionError("the server did not become ready; its own words are above")
        words = self.ready_line.split()
        self.address, self.http_address = words[3], words[5]

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self._reap()

    def terminate(self) -> int:
        """Ask it to stop; returns its exit status."""
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status
