"""All that administrators did, a page at a time."""

from __future__ import annotations

from pushtasks import admin_actions
from pushtasks.dashboard.handler import AdminReadHandler


class ActivityHandler(AdminReadHandler):
    """GET /admin/activity?cursor="""

    def get(self) -> None:
        cursor = self.query("cursor")
        actions, following = admin_actions.page(self.service.database, cursor or None)
        self.admin_page("admin/activity.html", actions=actions, next_cursor=following, cursor=cursor)
