"""`python -m localcloud.datastore`: runs the server."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence

from localcloud.datastore.options import parse_options


def main(arguments: Sequence[str]) -> int:
    """Run until SIGINT or SIGTERM; returns the exit status."""
    options = parse_options(arguments)
    # A signal is waited for, not handled: blocked before any other thread starts.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    # gRPC's own complaint about a taken port would be a second one.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Imported late: a mistake on the command line is reported at once.
    from localcloud.datastore.commits import Concurrency
    from localcloud.datastore.errors import BadStart
    from localcloud.datastore.server import DatastoreServer

    server = DatastoreServer(
        host=options.host,
        port=options.port,
        http_port=options.http_port,
        data=options.data,
        concurrency=Concurrency(options.concurrency),
        transaction_idle_seconds=options.transaction_idle_seconds,
        transaction_seconds=options.transaction_seconds,
        ttl=options.ttl,
        required_indexes=options.require_indexes,
        on_lost=_stop_at_once,
    )
    try:
        server.start()
    except BadStart as error:
        print(f"localcloud.datastore: {error}", file=sys.stderr)
        return 2
    # What has been loaded stays, and requests leave hardly any cycles: garbage collection can be rare.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    http = f" http {server.http_address}" if server.http_address else ""
    print(f"localcloud.datastore ready on {server.address}{http}", flush=True)
    signal.sigwait(signals)
    server.close()
    return 0


def _stop_at_once(line: str) -> None:
    """The data file is gone or damaged. Closing it would have SQLite write to it, and remove its log."""
    print(f"localcloud.datastore: {line}", file=sys.stderr, flush=True)
    os._exit(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
