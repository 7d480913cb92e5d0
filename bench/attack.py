"""An attack from outside: increments, while processes are killed and stopped and the disk fills up.

python -m bench.attack --increments 100000 [--seconds-between 2] [--no-disk] [--seed 1]

It shares nothing with the application but its HTTP API. Every request has an Idempotency-Key and is repeated
until it is accepted. In the end, what was accepted must be what the counters say, and every accepted task
must be recorded as applied. As root on Linux the data folder is a small file system of its own, so that it
can be filled; elsewhere that part is left out.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
DISK_MB = 400
SENDERS = 12


@dataclass
class Account:
    """What was accepted, by counter; and everything that was answered."""

    amounts: Counter[str] = field(default_factory=Counter)
    increments: int = 0
    tasks: dict[str, int] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> int:
    options = _options()
    chance = random.Random(options.seed)
    with _folder(with_disk=not options.no_disk) as (folder, fillable), _stack(folder) as (process, log):
        port = _wait_for_port(process, log)
        account = Account()
        left = [options.increments]
        senders = [
            threading.Thread(target=_send, args=(port, chance.getrandbits(64), left, account))
            for number in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        while any(sender.is_alive() for sender in senders):
            time.sleep(options.seconds_between * chance.uniform(0.5, 1.5))
            account.did[_disturb(folder, process.pid, chance, fillable)] += 1
        print(f"accepted {account.increments:,} increments as {len(account.tasks):,} tasks", flush=True)
        print(f"disturbed: {dict(account.did)}")
        print(f"answers: {dict(account.answers)}")
        wrong = _check(port, account)
        if account.increments != options.increments:
            wrong.append(f"{options.increments:,} were to be sent, {account.increments:,} were accepted")
        tracebacks = len(re.findall(r"Traceback \(most recent", log.read_text(errors="replace")))
        print(f"tracebacks in the log: {tracebacks}")
        unexpected = {what: count for what, count in account.answers.items() if what not in _EXPECTED}
        print(f"answers that nobody should get: {unexpected or 'none'}")
        for line in wrong:
            print("WRONG", line)
        print("EXACT" if not wrong else "NOT EXACT")
    return 1 if wrong or unexpected else 0


_EXPECTED = frozenset({"202 enqueued", "202 duplicate", "202 accepted", "503", "502", "no answer"})
"""502: the front end lost an instance in the middle of a request, and can't know what became of it."""


def _send(port: int, seed: int, left: list[int], account: Account) -> None:
    chance = random.Random(seed)
    while True:
        size = chance.choice((1, 1, 1, 5, 50, 200))
        with account.lock:
            if left[0] <= 0:
                return
            size = min(size, left[0])
            left[0] -= size
        increments = [(f"attack-{chance.randrange(20)}", chance.choice((1, 2, 3, -1))) for _ in range(size)]
        key = f"{chance.getrandbits(96):x}"
        if size == 1:
            path = f"/api/counters/{increments[0][0]}/increments"
            body: dict[str, Any] = {"amount": increments[0][1]}
        else:
            path = "/api/increments"
            body = {"increments": [{"counter": name, "amount": amount} for name, amount in increments]}
        while True:
            status, answer = _post(port, path, body, key)
            state = answer.get("state", "") if status == 202 else ""
            with account.lock:
                account.answers[f"{status} {state}".strip() if status else "no answer"] += 1
            if status == 202:
                break
            time.sleep(chance.uniform(0.05, 0.3))
        with account.lock:
            account.tasks[answer["task"]] = size
            account.increments += size
            for name, amount in increments:
                account.amounts[name] += amount


def _post(port: int, path: str, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()


def _get(port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()


def _disturb(folder: Path, supervisor: int, chance: random.Random, fillable: bool) -> str:
    """Do one bad thing; returns which."""
    victims = [each for each in psutil.Process(supervisor).children(recursive=True) if _is_ours(each)]
    kind = chance.choices(("kill", "stop", "fill"), (6, 3, 1 if fillable else 0))[0]
    if kind == "fill":
        filler = folder / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 65536)
        time.sleep(chance.uniform(1, 4))
        filler.unlink(missing_ok=True)
        return kind
    if not victims:
        return "nothing"
    victim = chance.choice(victims)
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if kind == "kill":
            os.kill(victim.pid, signal.SIGKILL)
        else:
            os.kill(victim.pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.2, 3))
            os.kill(victim.pid, signal.SIGCONT)
    return kind


def _is_ours(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "python" in process.name() or "gunicorn" in process.name()
    return False


def _check(port: int, account: Account) -> list[str]:
    """What differs from what was accepted; waits until every task is done."""
    wrong: list[str] = []
    deadline = time.monotonic() + 400
    pending = list(account.tasks)
    while pending and time.monotonic() < deadline:
        still = []
        for task in pending:
            status, state = _get(port, f"/api/tasks/{task}")
            if status != 200 or state["state"] == "pending":
                still.append(task)
            elif state["state"] != "applied":
                wrong.append(f"{task} was accepted, and is {state['state']}")
        pending = still
        if pending:
            time.sleep(1)
    wrong += [f"{task} was accepted, and is not applied" for task in pending[:20]]
    increments = 0
    for name, amount in sorted(account.amounts.items()):
        _, value = _get(port, f"/api/counters/{name}")
        increments += value.get("increments", 0)
        if value.get("value") != amount:
            wrong.append(f"{name}: accepted {amount}, counted {value.get('value')}")
    if increments != account.increments:
        wrong.append(f"accepted {account.increments} increments, counted {increments}")
    return wrong


@contextmanager
def _folder(*, with_disk: bool) -> Iterator[tuple[Path, bool]]:
    """A data folder, and whether it can be filled without harm to anybody else."""
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        folder = Path(name) / "data"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
        fillable = with_disk and os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
        try:
            yield folder, fillable
        finally:
            if fillable:
                subprocess.run(["umount", str(folder)], check=False)


@contextmanager
def _stack(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = folder.parent / "log"
    command: Sequence[str] = [
        *(sys.executable, "-m", "localcloud", "app.yaml", "worker.yaml", "queue.yaml"),
        *("--port", "0", "--data", str(folder), "--no-reload", "--transaction-idle-seconds", "5"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process, log
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    for _ in range(1200):
        found = re.search(r"localcloud ready on \S+:(\d+)", log.read_text(errors="replace"))
        if found:
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"localcloud did not start: {log.read_text(errors='replace')[-2000:]}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.attack", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--increments", type=int, default=100_000, help="to send (default 100,000)")
    parser.add_argument("--seconds-between", type=float, default=2.0, help="disturbances (default 2)")
    parser.add_argument("--no-disk", action="store_true", help="never fill the disk")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
