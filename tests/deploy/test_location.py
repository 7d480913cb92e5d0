"""Where the queues are: a setting says so, else App Engine's metadata server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pushtasks.errors import QueueRefused
from pushtasks.queues import find_location
from pushtasks.settings import Settings


@pytest.fixture
def metadata_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/computeMetadata/v1/instance/region"
            self.send_response(200 if known and self.headers["Metadata-Flavor"] == "Google" else 403)
            self.end_headers()
            self.wfile.write(b"projects/1234567890/regions/europe-west1")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


def settings(**environ: str) -> Settings:
    return Settings.read({"GOOGLE_CLOUD_PROJECT": "my-project", **environ})


def test_the_metadata_server_is_asked(metadata_server: None) -> None:
    assert find_location(settings()) == "europe-west1"


def test_a_setting_goes_before_it(metadata_server: None) -> None:
    assert find_location(settings(LOCATION_ID="us-east1")) == "us-east1"


def test_where_neither_tells_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")

    with pytest.raises(QueueRefused, match="Set LOCATION_ID, for instance to us-central1"):
        find_location(settings())
