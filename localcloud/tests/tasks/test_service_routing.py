"""Tasks obey dispatch.yaml, and a service that does not run is replaced as on App Engine."""

from __future__ import annotations

import pytest
from localcloud.routing import dispatch_rule
from localcloud.tasks.queue_config import QueueConfig, Routing
from localcloud.tasks.service_routing import ServiceRouting

from tests.tasks.conftest import QUICK, StartServer
from tests.tasks.harness import Handler, client_of

RULES = [dispatch_rule("*/tasks/*", "worker"), dispatch_rule("shop-dot-p.appspot.com/*", "shop")]


@pytest.mark.parametrize(
    ("wanted", "uri", "service"),
    [
        ("", "/", "default"),
        ("worker", "/", "worker"),
        ("gone", "/", "default"),
        ("", "/tasks/work?n=1", "worker"),
        ("default", "/t%61sks/work", "worker"),  # a rule sees what the program sees
        ("shop", "/", "shop"),
        ("", "/_ah/tasks/work", "default"),
    ],
)
def test_a_rule_beats_what_was_asked_for_and_default_stands_in(wanted: str, uri: str, service: str) -> None:
    assert ServiceRouting(("default", "worker", "shop"), RULES, "p").service_for(wanted, uri) == service


def test_a_single_service_is_the_default_one_whatever_its_name() -> None:
    routing = ServiceRouting(("api",))
    assert [routing.service_for(wanted, "/") for wanted in ("", "default", "other")] == ["api"] * 3


def test_a_queue_whose_target_does_not_run_delivers_to_the_only_service_and_says_so_once(
    start_server: StartServer, handler: Handler
) -> None:
    to_background = QueueConfig(retry=QUICK.retry, routing=Routing(service="background"))
    server = start_server(queues={"q": to_background}, targets=[f"api={handler.url}"])
    with client_of(server.address) as client:
        client.create_task(
            parent=f"{server.location_name}/queues/q",
            task={"app_engine_http_request": {"relative_uri": "/work"}},
        )
    server.wait_idle()
    assert [request.path for request in handler.requests] == ["/work"]
    assert server.remarks() == [
        "queue.yaml, queue q: there is no service 'background' here; "
        "'api' gets the requests, as on App Engine"
    ]
