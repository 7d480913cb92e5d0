"""What app.yaml lets a delivery do: which paths a service answers, and which of them a task may reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.routing import Handler, Kind, Login, ServiceRoutes, compile_url, decoded_path
from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.outcome import Outcome

NOT_FOUND = Outcome(404, "no handler in app.yaml matches")


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """One service's handlers and scaling."""

    routes: ServiceRoutes
    is_scaled_by_hand: bool = False  # manual or basic scaling

    def refusal(self, uri: str) -> Outcome | None:
        """How App Engine answers a task for `uri` without asking the service; None if it asks the service.

        Real service: tasks run as no user, and satisfy `login: admin`; `login: required` they never satisfy
        (AppEngineHttpRequest), and the redirect to the login page is a failure.
        We differ: static files are served by the front end only; a task for one fails with 405.
        """
        match = self.routes.match(decoded_path(uri))
        if match is None:
            return NOT_FOUND
        handler = match.handler
        if handler.kind is not Kind.SCRIPT:
            return Outcome(405, "a static file takes no task")
        if handler.login is Login.REQUIRED:
            status = 302 if handler.redirects_to_login else 401
            return Outcome(status, "login: required, but a task is not signed in")
        return None


def service_rules(services: Sequence[Mapping[str, Any]]) -> dict[str, ServiceRules]:
    """The rules of each service, as parse_files prints them, by name. Raises BadStart."""
    rules: dict[str, ServiceRules] = {}
    for service in services:
        name = service["name"]
        if name in rules:
            raise BadStart(
                f"{service['file']}: another file describes the service {name!r}, too. Expected one."
            )
        handlers = tuple(_handler(handler) for handler in service["handlers"])
        rules[name] = ServiceRules(ServiceRoutes(name, handlers), service["is_scaled_by_hand"])
    return rules


def _handler(handler: Mapping[str, Any]) -> Handler:
    kind = Kind(handler["kind"])
    return Handler(
        url=handler["url"],
        pattern=compile_url(handler["url"], static_dir=kind is Kind.STATIC_DIR),
        kind=kind,
        login=Login(handler["login"]),
        redirects_to_login=handler["redirects_to_login"],
    )
