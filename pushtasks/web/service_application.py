"""An enqueuing service as a web application: its pages and API, the dashboard, and the state of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import webapp2

from pushtasks import logs
from pushtasks.service import Service
from pushtasks.web import page_requests
from pushtasks.web.handler import Handler, answer_problem
from pushtasks.web.task_states import TASK_ROUTES
from pushtasks.web.warm_up import WARM_UP_PATH, WarmUpHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Routes = Sequence[tuple[str, type[Handler]] | webapp2.BaseRoute]


class _Response(webapp2.Response):
    """WebOb would make each Location absolute, as http, and take a tenth of an answer's time for it."""

    def _abs_headerlist(self, environ: WSGIEnvironment) -> list[tuple[str, str]]:  # noqa: ARG002 - WebOb's
        return list(self.headerlist)


def service_application(service: Service, routes: Routes) -> WSGIApplication:
    """The application. Routes are tried in their order, so the busiest come first."""
    logs.set_up(service.settings)
    application = webapp2.WSGIApplication(
        [*routes, *TASK_ROUTES, (WARM_UP_PATH, WarmUpHandler)], config={"service": service}
    )
    application.response_class = _Response
    application.error_handlers = dict.fromkeys((404, 405, 500, 501), answer_problem)
    return page_requests.guard(application, service.settings.most_body_bytes)
