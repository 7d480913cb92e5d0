"""`python -m localcloud.tasks`: runs the server; with a command, looks after one that is running."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.files import Reading
from localcloud.tasks.options import COMMANDS, parse_options
from localcloud.tasks.targets import parse_targets

if TYPE_CHECKING:
    from localcloud.tasks.service import Options


def main(arguments: Sequence[str]) -> int:
    """Run until SIGINT or SIGTERM; returns the exit status."""
    # Before gRPC is imported: we report a taken port ourselves, and gRPC must not.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if arguments and arguments[0] in COMMANDS:
        from localcloud.tasks import control

        return control.main(arguments)
    options = parse_options(arguments)
    try:
        targets = parse_targets(options.target)
        # The files are read by another process while this one imports what it takes to serve.
        reading = Reading(options.queues, options.app, options.dispatch, options.cron)
        import uvloop

        from localcloud.tasks.service import Options

        server = Options(
            targets=targets,
            files=reading.result(),
            host=options.host,
            port=options.port,
            http_port=options.http_port,
            data=options.data,
            project=options.project,
            location=options.location,
            verbose=options.verbose,
            on_lost=stop_at_once,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(server))
    except BadStart as error:
        print(f"localcloud.tasks: {error}", file=sys.stderr)
        return 2
    return 0


def stop_at_once(line: str) -> None:
    """The data file is gone or damaged. Closing it would have SQLite write to it, and remove its log."""
    print(f"localcloud.tasks: {line}", file=sys.stderr, flush=True)
    os._exit(2)


async def serve(options: "Options") -> None:
    """Serve until a signal asks to stop."""
    from localcloud.tasks.service import Service

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    service = Service(options, lambda line: print(line, flush=True))
    # What was loaded is not garbage: searching it again and again among many tasks would stall deliveries.
    gc.collect()
    gc.freeze()
    await service.start()
    host = options.host
    print(f"localcloud.tasks ready on {host}:{service.port} http {host}:{service.http_port}", flush=True)
    for remark in service.remarks():
        print(remark, flush=True)
    await stop.wait()
    await service.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
