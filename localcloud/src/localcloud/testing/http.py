"""Small HTTP calls to the side ports, with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from localcloud.testing.errors import LocalCloudError


def call(
    method: str, address: str, path: str, body: object = None, timeout_seconds: float = 30.0, **query: object
) -> Any:
    """The answer of a side port: its JSON, else its text. Raises LocalCloudError unless it is 2xx."""
    url = f"http://{address}{path}"
    if query:
        url += "?" + urllib.parse.urlencode(query)
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            raise LocalCloudError(f"{method} {url}: {error.code} {error.read().decode()}") from None
    except OSError as error:
        raise LocalCloudError(f"{method} {url}: {error}") from error
    try:
        return json.loads(text)
    except ValueError:
        return text
