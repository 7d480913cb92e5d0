"""`make deploy PROJECT=my-project REGION=us-central1`: everything, in the right order; again and again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import places
from deploy.alerts import parse_e_mail
from deploy.deployment import Deployment
from deploy.gcloud import Gcloud, Stopped
from deploy.traffic import parse_version

ROOT = Path(__file__).parent.parent


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 when all is deployed, 1 when a step could not be done (repeat it)."""
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    parser.add_argument("--pause-other-queues", action="store_true")
    parser.add_argument("--stage", metavar="VERSION", help="deploy a version that gets no traffic yet")
    parser.add_argument("--alerts", metavar="E_MAIL", help="who gets a mail when /health fails")
    given = parser.parse_args(arguments)
    try:
        gcloud = Gcloud(places.parse_project(given.project), dry_run=given.dry_run)
        Deployment(
            gcloud,
            places.parse_region(given.region),
            ROOT.relative_to(Path.cwd()) if ROOT.is_relative_to(Path.cwd()) else ROOT,
            pauses_other_queues=given.pause_other_queues,
            alerts=parse_e_mail(given.alerts) if given.alerts else None,
            stage=parse_version(given.stage) if given.stage else None,
        ).run()
    except Stopped as reason:
        print(f"deploy: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
