"""Runs google-cloud-datastore's own system tests against our Datastore, and prints what came out.

Once over gRPC, once with gRPC off, when the library speaks protobuf over HTTP/1.1.

They come with the library's source release, which pip downloads into `.conformance/`; the repository keeps no
copy. Every test runs with two parameters, and their own script loads the data again for each: in an emulator,
the tests of one parameter delete the default namespace at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from localcloud.testing import DatastoreProcess

_FOLDER = Path(".conformance")
_DATABASE = "system-tests-named-db"
_OUTCOME = re.compile(r"^(\S+)::(\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")


def main() -> int:
    """The exit status: 0 if all tests passed, both ways."""
    release = download()
    with DatastoreProcess() as server:
        over_grpc = passes(release, "over gRPC", DATASTORE_EMULATOR_HOST=server.address)
        over_http = passes(
            release,
            "over HTTP/1.1",
            DATASTORE_EMULATOR_HOST=server.http_address,
            GOOGLE_CLOUD_DISABLE_GRPC="true",
        )
    return 0 if over_grpc and over_http else 1


def passes(release: Path, transport: str, **settings: str) -> bool:
    """Do all tests pass with these settings in the environment? Prints the table."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("DATASTORE_")}
    environ |= {
        "DATASTORE_DATASET": "conformance",
        "GOOGLE_CLOUD_PROJECT": "conformance",
        "GOOGLE_CLOUD_NO_PRINT": "true",
        "SYSTEM_TESTS_DATABASE": _DATABASE,
        "PYTHONPATH": str((_FOLDER / "site").resolve()),
        **settings,
    }
    outcomes: Counter[tuple[str, str]] = Counter()
    failed: list[str] = []
    began = time.perf_counter()
    for selection in (f"not {_DATABASE}", _DATABASE):
        load = ["tests.system.utils.populate_datastore", "--characters", "--uuid", "--timestamps"]
        command = [sys.executable, "-m", *load]
        subprocess.run(command, cwd=release, env=environ, check=True, stdout=subprocess.DEVNULL)
        for file, test, outcome in run(release, environ, selection, transport):
            outcomes[file, outcome] += 1
            if outcome in ("FAILED", "ERROR"):
                failed.append(f"{file}::{test}")
    print(f"{transport}:")
    report(outcomes, failed, time.perf_counter() - began)
    return bool(outcomes) and not failed


def download() -> Path:
    """The unpacked source release of the installed version, with what its tests need beside it."""
    installed = version("google-cloud-datastore")
    release = _FOLDER.resolve() / f"google_cloud_datastore-{installed}"
    if not release.is_dir():
        _FOLDER.mkdir(exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        source = ["download", "--no-binary", ":all:", "--no-deps", f"google-cloud-datastore=={installed}"]
        subprocess.run([*pip, *source, "--dest", str(_FOLDER)], check=True)
        needed = ["install", "--no-deps", "--target", str(_FOLDER / "site"), "google-cloud-testutils"]
        subprocess.run([*pip, *needed], check=True)
        with tarfile.open(f"{release}.tar.gz") as archive:
            archive.extractall(_FOLDER, filter="data")
    return release


def run(release: Path, environ: dict[str, str], selection: str, transport: str) -> list[tuple[str, str, str]]:
    """File, test and outcome of each selected system test."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/system", "-v", "-p", "no:cacheprovider", "--tb=short",
         "--rootdir=.", "-c", os.devnull, "--color=no", "-k", selection],
        cwd=release, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    (_FOLDER / f"{transport.replace('/', ' ')}, {selection}.log").write_text(done.stdout + done.stderr)
    found = [_OUTCOME.match(line) for line in done.stdout.splitlines()]
    return [(Path(match[1]).name, match[2], match[3]) for match in found if match]


def report(outcomes: Counter[tuple[str, str]], failed: list[str], seconds: float) -> None:
    """The table."""
    print(f"{'file':<32}{'passed':>8}{'failed':>8}{'skipped':>8}")
    for file in sorted({file for file, _ in outcomes}):
        bad = outcomes[file, "FAILED"] + outcomes[file, "ERROR"]
        print(f"{file:<32}{outcomes[file, 'PASSED']:>8}{bad:>8}{outcomes[file, 'SKIPPED']:>8}")
    passed = sum(count for (_, outcome), count in outcomes.items() if outcome == "PASSED")
    print(f"{passed} of {sum(outcomes.values())} passed in {seconds:.0f} s; logs in {_FOLDER}/")
    for each in failed:
        print(f"failed: {each}")


if __name__ == "__main__":
    sys.exit(main())
