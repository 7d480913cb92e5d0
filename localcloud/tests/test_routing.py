"""Routing follows app.yaml and dispatch.yaml as App Engine does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from localcloud.routing import (
    Handler,
    Kind,
    Login,
    Match,
    Routes,
    ServiceRoutes,
    compile_url,
    decoded_path,
    dispatch_rule,
    host_without_port,
    is_local_name,
    routes,
)


def script(url: str, login: Login = Login.OPTIONAL) -> Handler:
    return Handler(url=url, pattern=compile_url(url), login=login)


def static_dir(url: str, path: str) -> Handler:
    return Handler(url=url, pattern=compile_url(url, static_dir=True), kind=Kind.STATIC_DIR, path=path)


def matched(service: ServiceRoutes, path: str) -> Match:
    found = service.match(path)
    assert found is not None
    return found


APP = ServiceRoutes(
    "default", (static_dir("/static", "assets"), script("/admin(/.*)?", Login.ADMIN), script("/.*"))
)
WORKER = ServiceRoutes("worker", (script("/update-counter", Login.ADMIN),))


def both(*rules: tuple[str, str]) -> Routes:
    return routes([APP, WORKER], [dispatch_rule(url, service) for url, service in rules])


def test_the_first_handler_that_matches_wins() -> None:
    assert matched(APP, "/admin/tasks").handler.login is Login.ADMIN
    assert matched(APP, "/about").handler.login is Login.OPTIONAL


def test_a_pattern_matches_the_whole_path() -> None:
    assert matched(APP, "/administrator").handler.url == "/.*"
    assert WORKER.match("/update-counter/more") is None
    assert WORKER.match("/update-counter\n") is None


def test_alternatives_are_anchored_together() -> None:
    service = ServiceRoutes("default", (script("/a|/b"),))
    assert service.match("/a") is not None
    assert service.match("/axe") is None


def test_what_matches_no_handler_is_nothing() -> None:
    assert WORKER.match("/other") is None


def test_a_file_without_handlers_sends_everything_to_the_program() -> None:
    assert matched(ServiceRoutes("default"), "/anything").handler.kind is Kind.SCRIPT


def test_a_static_dir_serves_what_lies_below_its_prefix() -> None:
    match = matched(APP, "/static/css/site.css")
    assert match.handler.static_path(match.groups) == "assets/css/site.css"
    assert matched(APP, "/static").handler.url == "/.*"
    assert matched(APP, "/statically").handler.url == "/.*"


def test_static_files_puts_the_groups_of_the_url_into_the_path() -> None:
    handler = Handler(
        url=r"/(.*)\.(gif|png)",
        pattern=compile_url(r"/(.*)\.(gif|png)"),
        kind=Kind.STATIC_FILES,
        path=r"images/\2/\1.\2",
    )
    match = matched(ServiceRoutes("default", (handler,)), "/logo.png")
    assert handler.static_path(match.groups) == "images/png/logo.png"


def test_a_group_that_the_url_lacks_is_empty() -> None:
    handler = Handler(url="/x", pattern=compile_url("/x"), kind=Kind.STATIC_FILES, path=r"a\7b")
    match = matched(ServiceRoutes("default", (handler,)), "/x")
    assert handler.static_path(match.groups) == "ab"


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("localhost:8080", "default"),
        ("127.0.0.1:8080", "default"),
        ("[::1]:8080", "default"),
        ("worker.localhost:8080", "worker"),
        ("WORKER.LocalHost", "worker"),
        ("20260101t000000.worker.localhost", "worker"),
        ("worker-dot-local-project.localhost:8080", "worker"),
        ("worker-dot-local-project.uc.r.appspot.com", "worker"),
        ("v1-dot-worker-dot-local-project.uc.r.appspot.com", "worker"),
        ("nobody.localhost", "default"),
        ("nobody-dot-local-project.localhost", "default"),
    ],
)
def test_the_host_names_the_service(host: str, service: str) -> None:
    assert both().service_for(host, "/") == service


def test_an_application_without_a_default_service_answers_with_its_only_one() -> None:
    assert routes([WORKER]).service_for("localhost", "/") == "worker"


def test_dispatch_rules_come_before_the_host() -> None:
    found = both(("*/reports/*", "worker"), ("worker.localhost/home", "default"))
    assert found.service_for("localhost:8080", "/reports/2026") == "worker"
    assert found.service_for("localhost:8080", "/reports") == "default"
    assert found.service_for("worker.localhost", "/home") == "default"
    assert found.service_for("worker.localhost", "/home/x") == "worker"


def test_a_dispatch_rule_may_name_a_group_of_hosts() -> None:
    found = both(("*.example.com/*", "worker"))
    assert found.service_for("a.example.com", "/") == "worker"
    assert found.service_for("example.com", "/") == "default"


def test_dispatch_rules_leave_the_platforms_own_paths_alone() -> None:
    found = both(("*/*", "worker"))
    assert found.service_for("localhost", "/_ah/warmup") == "default"
    assert found.service_for("localhost", "/_ah/queue/deferred") == "worker"


def test_a_dispatch_rule_for_an_unknown_service_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'nobody'.*there are: default, worker"):
        both(("*/x", "nobody"))


def test_two_services_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two files describe the service 'default'"):
        routes([APP, APP])


def test_a_url_that_is_no_regular_expression_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"'/\(' is not a regular expression: missing \)"):
        compile_url("/(")


@pytest.mark.parametrize("target", ["/admin", "/%61dmin", "/admi%6E?x=1", "/admin?", "/admin#fragment"])
def test_no_spelling_of_a_path_walks_around_its_handler(target: str) -> None:
    assert matched(APP, decoded_path(target)).handler.login is Login.ADMIN


@given(st.binary(max_size=30))
def test_any_bytes_decode_to_a_path(rest: bytes) -> None:
    target = "/" + "".join(f"%{byte:02x}" for byte in rest)
    assert decoded_path(target).encode("utf-8", "surrogateescape") == b"/" + rest


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8080", "a.localhost", "x.r.appspot.com"]
)
def test_names_of_this_machine_are_local(host: str) -> None:
    assert is_local_name(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.nip.io",
        "evil-dot-x.com",
        "notlocalhost",
        "localhost:x@evil.example",
        "localhost:",
        "localhost:80:80",
        "localhost:99999",
        "localhost@evil.example",
        "[::1].evil.example",
        "[::1]evil.example:80",
        "[::1",
        "localhost/",
        "localhost evil",
        "localhost\t",
        "localhost,evil",
        "evil.example#.localhost",
        "evil.example/.localhost",
        "evil\uff0f.localhost",
        "x.appspot.com:a",
    ],
)
def test_all_other_names_are_not(host: str) -> None:
    assert not is_local_name(host)


def test_a_host_is_compared_without_its_port() -> None:
    assert host_without_port("Worker.LocalHost.:8080") == "worker.localhost"
    assert host_without_port("[::1]:80") == "[::1]"
