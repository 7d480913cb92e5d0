"""Every file of an application's folder has its effect: cron.yaml, dispatch.yaml, an included guard."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from localcloud.testing import LocalCloud
from localcloud.testing.waiting import wait_until

FILES = {
    "cron.yaml": "cron:\n- url: /jobs/tick\n  schedule: every 24 hours\n",
    "dispatch.yaml": 'dispatch:\n- url: "*/jobs/*"\n  service: worker\n',
    "guard.yaml": "handlers:\n- url: /jobs/.*\n  script: auto\n  login: admin\n",
}


def test_a_folder_is_run_with_all_that_is_in_it(
    root: Path, start_local_cloud: Callable[..., LocalCloud]
) -> None:
    for name, text in FILES.items():
        (root / name).write_text(text)
    with (root / "worker.yaml").open("a") as worker:
        worker.write("includes: [guard.yaml]\n")
    program = (root / "main.py").read_text()
    (root / "main.py").write_text(
        program.replace(
            "    start_response(",
            '    print(environ["PATH_INFO"], environ.get("HTTP_X_APPENGINE_CRON"))\n    start_response(',
            1,
        )
    )
    cloud = start_local_cloud(["."], root=root)

    class Stays(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        urllib.request.build_opener(Stays).open(f"{cloud.url}/jobs/tick", timeout=20).close()
        status = 200
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    assert status == 302  # to the sign-in: the included guard is there

    side_port = f"http://{cloud.state['tasks']['http']}"
    run = urllib.request.Request(f"{side_port}/cron/run?job=0", method="POST")
    urllib.request.urlopen(run, timeout=20).close()

    def last_status() -> object:
        with urllib.request.urlopen(f"{side_port}/cron", timeout=20) as answer:
            (job,) = json.load(answer)["jobs"]
        return job["last_run"] and job["last_run"]["status"]

    wait_until(lambda: last_status() == 200, "the job's success")
    wait_until(lambda: "/jobs/tick true" in cloud.log("worker"), "the worker's line")
    assert "/jobs/tick" not in cloud.log("default")
