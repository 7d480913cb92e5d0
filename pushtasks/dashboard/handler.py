"""What every page under /admin ensures: administrators only, and changes only by POST from our own pages."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import datetime

from pushtasks import admin_actions
from pushtasks.admin_actions import Action
from pushtasks.errors import Rejected, TaskFailure, in_full
from pushtasks.logs import about
from pushtasks.trust import is_cross_site, may_change
from pushtasks.web.handler import Handler, ReadHandler, answer_problem
from pushtasks.web.problems import Problem

log = logging.getLogger(__name__)

_OWN_PAGE = re.compile(r"/admin(?:[/?][A-Za-z0-9/_.~%?&=+:@-]*)?")


class AdminHandler(Handler):
    """Lets administrators in, and nobody else."""

    @property
    def may_change(self) -> bool:
        return may_change(self.caller, self.service.settings)

    def dispatch(self) -> None:
        try:
            self._let_in()
        except Problem as closed:
            answer_problem(self.request, self.response, closed)
        else:
            super().dispatch()

    def _let_in(self) -> None:
        if not self.service.settings.on_app_engine:
            raise Problem(
                403,
                "Nobody can be let in here: who is asking is told by App Engine (or localcloud), and GAE_ENV "
                "does not say that it is in front.",
            )
        if not self.caller.is_admin:
            raise Problem(403, "Only administrators may see this. Sign in as one.")
        if self.request.method not in ("GET", "HEAD"):
            if is_cross_site(self.headers):
                raise Problem(403, "This must be sent from the dashboard's own page. Open it and try again.")
            if not self.may_change:
                raise Problem(
                    403,
                    f"{self.caller.email} may look, but not change anything "
                    f"({self.service.settings.variable_of('editors')}).",
                )

    def admin_page(self, template: str, status: int = 200, **values: object) -> None:
        """A page with what all of them show: where this is, who is looking, what was just done."""
        self.page(
            template,
            status,
            may_change=self.may_change,
            did=self._did(),
            now=self.service.clock(),
            here=self.request.path_qs,
            panel_links=[link for panel in self.service.overviews.panels for link in panel.links],
            **values,
        )

    def done(self, action: str, target: str, count: int, result: str) -> None:
        """Add what was done to the trail, and send the browser back to a page that reports it."""
        who = self.caller.email
        log.info("Admin action: %s", action, extra=about(who=who, target=target, count=count, result=result))
        back = self.field("back") if "back" in self.form else "/admin"
        if not _OWN_PAGE.fullmatch(back):
            back = "/admin"
        try:
            now = self.service.clock()
            entry = admin_actions.record(self.service.database, now, who, action, target, count, result)
        except TaskFailure as failure:
            log.error("The admin action above is not in the trail: %s", in_full(failure))
            self.see_other(back)
        else:
            path, _, query = back.partition("?")
            kept = [pair for pair in query.split("&") if pair and not pair.startswith("did=")]
            self.see_other(f"{path}?{'&'.join([*kept, f'did={entry}'])}#did")

    def _did(self) -> Action | None:
        """What this browser's last form did, from the trail."""
        entry = self.query("did")
        try:
            return admin_actions.find(self.service.database, entry) if entry else None
        except TaskFailure:
            return None

    def fields(self, name: str) -> Sequence[str]:
        """All values of a field that may be given many times."""
        return self.form.get(name, [])


class AdminReadHandler(AdminHandler, ReadHandler):
    """Answers GET and HEAD, to administrators."""


def moment_of(text: str) -> datetime:
    """The time that a confirmation page asked about. Raises Rejected."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise Rejected("cutoff", text, "the time that the page asked about")
    return moment
