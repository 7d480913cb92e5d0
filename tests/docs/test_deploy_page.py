"""docs/deploy.md does by hand what `make deploy` does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from google.appengine.api import appinfo

from deploy.__main__ import main
from tests.deploy.conftest import NO_APP, ROOT, StandIn, gcloud

__all__ = ["gcloud"]

PAGE = (ROOT / "docs" / "deploy.md").read_text()


def changes(calls: list[list[str]]) -> list[tuple[list[str], list[str]]]:
    """What each command that changes something is, and its options, without those that only say where."""
    return [
        (
            [word for word in call if not word.startswith("-")],
            sorted({word for word in call if word.startswith("-")} - {"--quiet", "--project=my-project"}),
        )
        for call in calls
        if "--format=json" not in call
    ]


def test_the_commands_by_hand_are_those_of_the_script(gcloud: StandIn, tmp_path: Path) -> None:
    gcloud.answer("app describe", status=1, stderr=NO_APP)
    dry_run = gcloud.run(main, "--project", "my-project", "--region", "us-central1", "--dry-run").stdout
    by_hand = PAGE.partition("<!-- by hand -->\n```sh\n")[2].partition("```")[0]

    subprocess.run(["bash", "-c", dry_run], check=False, cwd=ROOT, capture_output=True)
    of_script = changes(gcloud.calls())
    gcloud.forget_calls()
    subprocess.run(["bash", "-e", "-c", by_hand], check=True, cwd=ROOT, capture_output=True)

    as_text = sorted(map(str, of_script))
    assert sorted(map(str, changes(gcloud.calls()))) == as_text
    order = [call[0][:3] for call in of_script if call[0][0] != "projects"]
    assert [call[0][:3] for call in changes(gcloud.calls()) if call[0][0] != "projects"] == order


def test_the_sums_of_the_price_table_add_up() -> None:
    rows = re.findall(r"^\|[^|]*\| \**\$([\d.]+)\** \| \**\$([\d.]+)\** \|", PAGE, re.MULTILINE)
    *parts, sums = [[float(price) for price in row] for row in rows]

    assert [round(sum(column), 2) for column in zip(*parts, strict=True)] == sums


def test_the_limits_that_it_names_are_those_of_the_yaml_files() -> None:
    scaling = [
        appinfo.LoadSingleAppInfo((ROOT / file).read_text()).automatic_scaling.max_instances
        for file in ("app.yaml", "worker.yaml")
    ]

    assert "`max_instances` {} and {}".format(*scaling) in PAGE
