"""The counter as the classic sample of push queues had it, for the official dev server.

One entity, one task for each increment, and nothing that survives a redelivery. Uses App Engine's bundled
services, because that is what the dev server stands in for.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from google.appengine.api import taskqueue, wrap_wsgi_app
from google.appengine.ext import ndb


class Counter(ndb.Model):
    count = ndb.IntegerProperty(indexed=False, default=0)


@ndb.transactional(retries=50)
def add(amount: int) -> None:
    counter = Counter.get_by_id("hot") or Counter(id="hot")
    counter.count += amount
    counter.put()


def classic(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path, answer = environ["PATH_INFO"], b""
    if path == "/increment":
        taskqueue.add(url="/update", params={"amount": "1"})
    elif path == "/update":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        add(int(parse_qs(body.decode())["amount"][0]))
    elif path == "/value":
        counter = Counter.get_by_id("hot", use_cache=False, use_memcache=False)
        answer = str(counter.count if counter else 0).encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]


app = wrap_wsgi_app(classic)
