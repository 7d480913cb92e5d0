"""`make deploy ... ALERTS=me@example.com`: a mail when /health fails, by Cloud Monitoring.

Three things, each made only if it is not there: where mails go, a check that asks for /health every five
minutes, and a policy that sends a mail when the check fails in two regions or more for ten minutes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from deploy.gcloud import Gcloud, Stopped

PATH = "/health"
_E_MAIL = re.compile(r"[^\s@'\"\\,=]{1,64}@[^\s@'\"\\,=]{1,190}")


def parse_e_mail(text: str) -> str:
    """An address that mails can go to. Raises Stopped."""
    if not _E_MAIL.fullmatch(text):
        raise Stopped(
            f"ALERTS is {text!r}. Expected an e-mail address: make deploy ... ALERTS=me@example.com"
        )
    return text


class Alerts:
    """Sets up what Cloud Monitoring needs. Raises Stopped if a step can't be done."""

    def __init__(self, gcloud: Gcloud, host: str, e_mail: str) -> None:
        self._gcloud = gcloud
        self._host = host
        self._e_mail = e_mail
        self._name = f"{PATH} of {host}"

    def set_up(self) -> None:
        self._gcloud.say("The API of Cloud Monitoring.")
        self._gcloud.change("services", "enable", "monitoring.googleapis.com")
        channel = self._channel()
        check = self._check()
        self._set_policy(channel, check)

    def _channel(self) -> str:
        """The full name of the notification channel."""
        return self._found_or_made(
            f"Is there a channel that sends mails to {self._e_mail}?",
            ("beta", "monitoring", "channels", "list", f'--filter=labels.email_address="{self._e_mail}"'),
            (
                "beta",
                "monitoring",
                "channels",
                "create",
                "--type=email",
                f"--display-name={self._e_mail}",
                f"--channel-labels=email_address={self._e_mail}",
            ),
            "CHANNEL",
        )

    def _check(self) -> str:
        """The id of the uptime check."""
        labels = f"host={self._host},project_id={self._gcloud.project}"
        return self._found_or_made(
            f"Is there a check that asks for {PATH}?",
            ("monitoring", "uptime", "list-configs", f'--filter=displayName="{self._name}"'),
            (
                "monitoring",
                "uptime",
                "create",
                self._name,
                "--resource-type=uptime-url",
                f"--resource-labels={labels}",
                f"--path={PATH}",
                "--protocol=https",
                "--period=5",
            ),
            "CHECK",
        ).rpartition("/")[2]

    def _set_policy(self, channel: str, check: str) -> None:
        gcloud = self._gcloud
        gcloud.say("Is there a policy that sends a mail?")
        there = ("alpha", "monitoring", "policies", "list", f'--filter=displayName="{self._name}"')
        if gcloud.ask(*there, assumed=[]):
            gcloud.note("There is.")
            return
        gcloud.say("There is none: a mail, if the check fails in two regions or more for ten minutes.")
        gcloud.change(
            "alpha",
            "monitoring",
            "policies",
            "create",
            f"--notification-channels={channel}",
            f"--policy={json.dumps(policy(self._name, check))}",
        )

    def _found_or_made(
        self, question: str, listing: tuple[str, ...], creation: tuple[str, ...], assumed: str
    ) -> str:
        """The name of what is there, or is made; `assumed` stands for it in a dry run."""
        gcloud = self._gcloud
        gcloud.say(question)
        found = gcloud.ask(*listing, assumed=[])
        if not found:
            gcloud.say("There is none: make it.")
            gcloud.change(*creation)
            gcloud.say("What is its name?")
            found = gcloud.ask(*listing, assumed=[{"name": assumed}])
        if not found:
            raise Stopped("Cloud Monitoring does not know it yet. Wait a minute and repeat.")
        return str(found[0]["name"])


def policy(name: str, check: str) -> dict[str, Any]:
    """An alerting policy, as Cloud Monitoring's API has it."""
    return {
        "displayName": name,
        "combiner": "OR",
        "conditions": [
            {
                "displayName": f"{PATH} fails",
                "conditionThreshold": {
                    "filter": (
                        'metric.type="monitoring.googleapis.com/uptime_check/check_passed" '
                        f'AND metric.labels.check_id="{check}" AND resource.type="uptime_url"'
                    ),
                    "aggregations": [
                        {
                            "alignmentPeriod": "1200s",
                            "perSeriesAligner": "ALIGN_NEXT_OLDER",
                            "crossSeriesReducer": "REDUCE_COUNT_FALSE",
                            "groupByFields": ["resource.label.*"],
                        }
                    ],
                    "comparison": "COMPARISON_GT",
                    "thresholdValue": 1,
                    "duration": "600s",
                    "trigger": {"count": 1},
                },
            }
        ],
    }
