"""`make promote` and `make rollback`: give all traffic to a version that is there, in both services.

`make deploy STAGE=v2` brings a version that gets none; it can be tried at its own address first. Going
forward the worker comes first, so that it knows every kind of task before the default service enqueues it;
going back it comes last.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import places
from deploy.gcloud import Gcloud, Stopped

ROOT = Path(__file__).parent.parent

_VERSION = re.compile(r"(?!ah-|default$|latest$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def parse_version(text: str) -> str:
    """A version's id. Raises Stopped."""
    if not _VERSION.fullmatch(text):
        raise Stopped(
            f"The version is {text!r}. Expected 1 to 63 of a-z, 0-9 and -, such as v2 "
            "(`gcloud app versions list` shows those that there are)"
        )
    return text


def move(gcloud: Gcloud, version: str, root: Path, *, back: bool) -> None:
    """Move the traffic of both services. Raises Stopped, before any is moved, if one lacks the version."""
    gcloud.require()
    services = [places.service_name(root / file) for file in ("worker.yaml", "app.yaml")]
    for service in services:
        gcloud.say(f"Does the {service} service have the version {version}?")
        found = gcloud.ask("app", "versions", "describe", version, f"--service={service}", assumed={})
        if found is None:
            raise Stopped(
                f"The {service} service has no version {version}. "
                f"`gcloud app versions list --project={gcloud.project}` shows those that it has."
            )
    for service in reversed(services) if back else services:
        gcloud.say(
            f"All traffic of the {service} service to {version}. Nothing is built, and no data changes."
        )
        gcloud.change("app", "services", "set-traffic", service, f"--splits={version}=1")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 when the traffic is moved, 1 when it could not be (repeat it)."""
    parser = argparse.ArgumentParser(prog="make promote", description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--back", action="store_true", help="to an older version: the worker comes last")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    given = parser.parse_args(arguments)
    try:
        gcloud = Gcloud(places.parse_project(given.project), dry_run=given.dry_run)
        move(gcloud, parse_version(given.version), ROOT, back=given.back)
    except Stopped as reason:
        print(f"promote: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
