"""Which service gets what the platform itself sends, tasks and cron jobs: the one asked for, or another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from localcloud.routing import DEFAULT_SERVICE, DispatchRule, decoded_path, is_dispatchable


@dataclass(frozen=True, slots=True)
class ServiceRouting:
    """The services that run, and dispatch.yaml over them."""

    running: Collection[str] = ()
    rules: Sequence[DispatchRule] = ()
    project: str = ""

    def service_for(self, wanted: str, uri: str) -> str:
        """The service that gets the request `uri` for the service `wanted` (empty: the default one).

        Real service: the rules of dispatch.yaml also apply to the URLs of tasks and cron jobs, and beat their
        `target` (dispatch.yaml and cron.yaml references).
        """
        path = decoded_path(uri)
        if self.rules and is_dispatchable(path):
            host = self._host_of(wanted)
            for rule in self.rules:
                if rule.matches(host, path):
                    return rule.service
        return self.resolve(wanted)

    def resolve(self, wanted: str) -> str:
        """The service that answers for `wanted`.

        Real service: a name that does not exist falls to the default service ("How requests are routed", soft
        routing), and that is the only service there is, whatever it is called at home.
        """
        if wanted in self.running or not self.running:
            return wanted or DEFAULT_SERVICE
        return DEFAULT_SERVICE if DEFAULT_SERVICE in self.running else next(iter(self.running))

    def runs(self, wanted: str) -> bool:
        """Is there a service of that name, or is the name empty?"""
        return not wanted or not self.running or wanted in self.running

    def _host_of(self, wanted: str) -> str:
        host = f"{self.project}.appspot.com"
        return host if wanted in ("", DEFAULT_SERVICE) else f"{wanted}-dot-{host}"
