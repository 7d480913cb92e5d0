"""`includes:` of app.yaml are merged as gcloud merges them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from localcloud.configuration import ConfigurationError, Service, load_service
from localcloud.routing import Login

# Where the packages of the Google Cloud SDK put it.
GCLOUD = Path("/usr/lib/google-cloud-sdk/lib")
APP = """\
runtime: python313
env_variables: {SHARED: app, OWN: app}
includes:
- more/admin.yaml
- shared
handlers:
- url: /.*
  script: auto
"""
FILES = {
    "app.yaml": APP,
    # Included files find others beside themselves first, then beside app.yaml.
    "more/admin.yaml": """\
includes: [last.yaml, variables.yaml]
handlers:
- url: /private/.*
  script: auto
  login: admin
""",
    "more/last.yaml": """\
handlers:
- url: /late
  script: auto
  position: tail
- url: /early
  script: auto
""",
    "variables.yaml": "env_variables: {SHARED: variables}\n",
    "shared/include.yaml": "env_variables: {FOLDER: here}\nincludes: [../variables.yaml]\n",
}
_ASK_GCLOUD = """\
import json, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/third_party"]
from googlecloudsdk.appengine.api import appinfo_includes
parsed = appinfo_includes.Parse(open(sys.argv[2]))
print(json.dumps([[entry.url for entry in parsed.handlers], dict(parsed.env_variables)]))
"""


def load(folder: Path, files: Mapping[str, str]) -> Service:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return load_service(folder / "app.yaml")


def test_included_handlers_guard_what_they_say(tmp_path: Path) -> None:
    service = load(tmp_path, FILES)

    match = service.routes.match("/private/page")
    assert match is not None
    assert match.handler.login is Login.ADMIN
    assert [handler.url for handler in service.routes.handlers] == ["/private/.*", "/early", "/.*", "/late"]
    assert service.env_variables == {"SHARED": "variables", "OWN": "app", "FOLDER": "here"}
    assert [file.relative_to(tmp_path).as_posix() for file in service.included] == [
        "more/admin.yaml",
        "more/last.yaml",
        "variables.yaml",
        "shared/include.yaml",
    ]


@pytest.mark.skipif(not GCLOUD.is_dir(), reason="gcloud is not installed")
def test_gcloud_merges_the_same(tmp_path: Path) -> None:
    service = load(tmp_path, FILES)
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK_GCLOUD, str(GCLOUD), str(tmp_path / "app.yaml")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    urls, variables = json.loads(asked.stdout)
    assert urls == [handler.url for handler in service.routes.handlers]
    assert variables == service.env_variables


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    files = {"app.yaml": "runtime: python313\nincludes: [a.yaml]\n"}
    files |= {
        "a.yaml": "includes: [b.yaml]\n",
        "b.yaml": "includes: [a.yaml]\nhandlers:\n- {url: /b, script: auto}\n",
    }
    assert [handler.url for handler in load(tmp_path, files).routes.handlers] == ["/b"]


def test_an_empty_include_adds_nothing(tmp_path: Path) -> None:
    files = {"app.yaml": APP.replace("more/admin.yaml", "a.yaml").replace("shared", "a.yaml")}
    assert load(tmp_path, files | {"a.yaml": "# later\n"}).env_variables == {"SHARED": "app", "OWN": "app"}


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("more/admin.yaml", "includes: [nowhere]\n", "more/admin.yaml, key 'includes': nowhere is not there"),
        ("more/last.yaml", "handler: []\n", "more/last.yaml, line 1, key 'handler': unknown key"),
        (
            "variables.yaml",
            "handlers:\n- url: /(a\n  script: auto\n",
            "variables.yaml, line 2, key 'url': url '/(a' is not a regular expression",
        ),
    ],
)
def test_a_mistake_names_the_included_file(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, FILES | {file: text})
    assert complaint in str(error.value)
