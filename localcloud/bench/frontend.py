"""What the front end costs: latency added, requests per second, CPU per request.

Side by side in one run: a trivial service directly, and through the front end. Loads with wrk where it is
installed (apt-get install wrk), else with a small client of its own in another process.

    python -m bench.frontend [--seconds 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from localcloud.supervisor.ports import FreePorts, is_free
from localcloud.testing.waiting import wait_until

# The floors of the design: at most 1 ms at the median, 2,500 requests/s to a trivial service.
MOST_ADDED_MS = 1.0
LEAST_PER_SECOND = 2500
AIM_CPU_MS = 0.35

SELF = [sys.executable, "-m", "bench.frontend"]
APP = """\
runtime: python313
handlers:
- url: /admin
  script: auto
  login: admin
- url: /.*
  script: auto
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@dataclass(frozen=True, slots=True)
class Load:
    """What one load has shown."""

    per_second: float
    median_ms: float
    p99_ms: float


class TrivialService(asyncio.Protocol):
    """Answers each request without looking at it: what is measured is what stands before it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]  # a write transport


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(TrivialService, "127.0.0.1", port)
    await server.serve_forever()


async def client(port: int, connections: int, seconds: float) -> Load:
    """Requests one after the other on each of `connections`."""
    latencies: list[float] = []
    request = f"GET /hello HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", head)[0]))
            latencies.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    ordered = sorted(latencies)
    return Load(
        len(ordered) / seconds, ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3
    )


def load(port: int, connections: int, seconds: float) -> Load:
    """With wrk, else with this file's own client in another process."""
    if shutil.which("wrk"):
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            f"http://localhost:{port}/hello",
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in said:
            raise SystemExit(f"the service did not answer 200:\n{said}")
        return Load(
            float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0]), _ms(said, "50%"), _ms(said, "99%")
        )
    command = [
        *SELF,
        "--client",
        str(port),
        "--connections",
        str(connections),
        "--seconds",
        str(seconds),
    ]
    numbers = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return Load(*(float(number) for number in numbers))


def _ms(said: str, percentile: str) -> float:
    value, unit = re.findall(rf"{percentile}\s+([\d.]+)(us|ms|s)\b", said)[0]
    return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one load (default %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="direct and proxied loads, alternating (default %(default)s)"
    )
    parser.add_argument(
        "--connections", type=int, default=16, help="at the throughput load (default %(default)s)"
    )
    parser.add_argument("--service", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--client", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.service:
        asyncio.run(serve(options.service))
    if options.client:
        result = asyncio.run(client(options.client, options.connections, options.seconds))
        print(result.per_second, result.median_ms, result.p99_ms)
        return 0
    return measure(options)


def measure(options: argparse.Namespace) -> int:
    ports = FreePorts("127.0.0.1")
    service_port, front_port = ports.take(), ports.take()
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app.yaml"
        app.write_text(APP)
        service = subprocess.Popen([*SELF, "--service", str(service_port)])
        command = [sys.executable, "-m", "localcloud.frontend", "--app", str(app), "--data", folder]
        command += ["--port", str(front_port), "--target", f"default=http://127.0.0.1:{service_port}"]
        front = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert front.stdout is not None
            front.stdout.readline()
            wait_until(lambda: _listens(service_port), "the service")
            return report(options, service_port, front_port, front.pid)
        finally:
            front.terminate()
            service.terminate()
            front.communicate()
            service.wait()


def report(options: argparse.Namespace, service_port: int, front_port: int, front_pid: int) -> int:
    direct: list[Load] = []
    through: list[Load] = []
    quiet_direct: list[float] = []
    quiet_through: list[float] = []
    cpu_ms: list[float] = []
    for _ in range(options.rounds):
        quiet_direct.append(load(service_port, 1, options.seconds / 2).median_ms)
        quiet_through.append(load(front_port, 1, options.seconds / 2).median_ms)
        direct.append(load(service_port, options.connections, options.seconds))
        before = cpu_seconds(front_pid)
        through.append(load(front_port, options.connections, options.seconds))
        cpu_ms.append((cpu_seconds(front_pid) - before) / (through[-1].per_second * options.seconds) * 1e3)
    added = statistics.median(quiet_through) - statistics.median(quiet_direct)
    rate = statistics.median(one.per_second for one in through)
    bare = statistics.median(one.per_second for one in direct)
    cpu = statistics.median(cpu_ms)
    figures = [
        ("median added, 1 connection", f"{added:.2f} ms", f"at most {MOST_ADDED_MS:g}"),
        (f"through, {options.connections} connections", f"{rate:.0f}/s", f"at least {LEAST_PER_SECOND}"),
        ("the service directly", f"{bare:.0f}/s", ""),
        ("CPU of the front end a request", f"{cpu:.3f} ms", f"aim {AIM_CPU_MS}"),
        ("p99 through", f"{statistics.median(one.p99_ms for one in through):.2f} ms", ""),
    ]
    for what, figure, bound in figures:
        print(f"{what:<32}{figure:>12}  {bound}")
    return 0 if added <= MOST_ADDED_MS and rate >= LEAST_PER_SECOND else 1


def _listens(port: int) -> bool:
    return not is_free("127.0.0.1", port)


if __name__ == "__main__":
    sys.exit(main())
