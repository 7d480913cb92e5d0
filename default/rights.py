"""Who may increment, for handlers: refusals are raised as the Problem to answer."""

from __future__ import annotations

from default.service import CounterService
from pushtasks.trust import holds_a_key, is_cross_site
from pushtasks.web.handler import Handler
from pushtasks.web.problems import Problem


class IncrementsHandler(Handler):
    """What every handler that takes increments has."""

    service: CounterService

    def require_increment_rights(self, *, by_page: bool = False) -> None:
        """Raises Problem if the settings close the API to this caller."""
        settings = self.service.settings
        if settings.api_access == "open" or self._may_increment_as_admin():
            return
        if settings.api_access == "key" and not by_page:
            if holds_a_key(self.headers.get("authorization", ""), settings.api_keys):
                return
            raise Problem(
                401,
                "Only holders of an API key may increment. Expected the header Authorization: Bearer KEY.",
                headers={"WWW-Authenticate": "Bearer"},
                field="Authorization",
                expected="Bearer KEY",
            )
        raise Problem(403, "Only administrators may increment here. Sign in as one.")

    def _may_increment_as_admin(self) -> bool:
        """An administrator's browser may be made to send requests by another site's page: not those."""
        from_elsewhere = "sec-fetch-site" in self.headers or "origin" in self.headers
        return self.caller.is_admin and not (from_elsewhere and is_cross_site(self.headers))
