"""Connections to a Cloud Tasks and a Datastore at home, where servers are killed and started again.

gRPC waits longer and longer between two attempts to connect, up to 120 s, whatever is asked meanwhile: after
an outage of half a minute the application stayed away for another ten seconds. Google's own addresses
answer even when a service behind them doesn't, so their clients' channels are left as they are.
"""

from __future__ import annotations

import grpc

# (Not min_reconnect_backoff_ms: that limits an attempt to connect, and a busy server may be slow.)
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # The same as in google-cloud-ndb and google-cloud-tasks.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


def to_server_at_home(address: str) -> grpc.Channel:
    """A channel to HOST:PORT, tried at least once a second while nobody answers, opened at first use."""
    return grpc.insecure_channel(address, options=_OPTIONS)
