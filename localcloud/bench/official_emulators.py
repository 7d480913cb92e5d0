"""Google's own emulators of Datastore, where the Cloud SDK has them installed: found, started, stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_FIRESTORE = "platform/cloud-firestore-emulator/cloud_firestore_emulator"
_DATASTORE = "platform/cloud-datastore-emulator/cloud_datastore_emulator"


def sdk_file(relative: str) -> Path | None:
    """A file of the installed Cloud SDK, whose gcloud is on the PATH; None if it is not there."""
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        return None
    roots = [Path(gcloud).resolve().parents[1], Path("/usr/lib/google-cloud-sdk")]
    return next((root / relative for root in roots if (root / relative).is_file()), None)


class OfficialEmulator:
    """One of the two, on a free port, in memory, its folder gone with it. `name`: firestore or datastore."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._program = sdk_file(_FIRESTORE if name == "firestore" else _DATASTORE)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.address = ""

    @property
    def is_installed(self) -> bool:
        return self._program is not None

    @property
    def pid(self) -> int:
        """Of the script that started Java; Java is its child, or itself."""
        assert self._process is not None
        return self._process.pid

    def start(self, timeout_seconds: float = 60.0) -> Self:
        """Returns when it answers. Raises TimeoutError."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._folder = tempfile.TemporaryDirectory(prefix="emulator-")
        if self.name == "firestore":
            options = ["start", "--host=127.0.0.1", f"--port={port}", "--database-mode=datastore-mode"]
        else:
            folder = f"{self._folder.name}/data"
            create = [str(self._program), "create", "--project_id=bench", folder]
            subprocess.run(create, check=True, capture_output=True)
            options = ["start", "--host=127.0.0.1", f"--port={port}", "--store_on_disk=False"]
            options += ["--consistency=1.0", "--allow_remote_shutdown", folder]
        with Path(self._folder.name, "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._program), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._folder.name,
                env={**os.environ, "JAVA_TOOL_OPTIONS": "-Xmx1500m"},
            )
        deadline = time.monotonic() + timeout_seconds
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise TimeoutError(f"the official {self.name} emulator did not start")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Ends it and what it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False
