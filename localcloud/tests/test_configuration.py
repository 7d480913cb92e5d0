"""What the YAML files say is taken over; a mistake in them is one line that names file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from localcloud.configuration import ConfigurationError, load_application, load_service
from localcloud.routing import Kind, Login

GOOD = """\
runtime: python313
service: shop
entrypoint: gunicorn --bind :$PORT main:app
instance_class: F2
default_expiration: 1d
env_variables:
  GREETING: hello
inbound_services:
- warmup
handlers:
- url: /static
  static_dir: assets
- url: /(.*\\.png)
  static_files: images/\\1
  upload: images/.*
  mime_type: image/png
  expiration: 1h 30m
  http_headers:
    X-Colour: blue
- url: /admin
  script: auto
  login: admin
  auth_fail_action: unauthorized
  secure: always
- url: /.*
  script: auto
"""


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


class Writer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, text: str, name: str = "app.yaml") -> Path:
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        return file


def test_a_services_file_is_taken_over(write: Writer) -> None:
    service = load_service(write(GOOD))
    assert (service.name, service.runtime, service.instance_class) == ("shop", "python313", "F2")
    assert service.entrypoint.endswith("gunicorn --bind :$PORT main:app")
    assert service.env_variables == {"GREETING": "hello"}
    assert service.first_request == "/_ah/warmup"
    static, files, admin, rest = service.routes.handlers
    assert (static.kind, static.path, static.expiration_seconds) == (Kind.STATIC_DIR, "assets", 86400)
    assert (files.kind, files.mime_type, files.expiration_seconds) == (Kind.STATIC_FILES, "image/png", 5400)
    assert files.http_headers == {"X-Colour": "blue"}
    assert (admin.login, admin.redirects_to_login, admin.secure) == (Login.ADMIN, False, "always")
    assert rest.login is Login.OPTIONAL


def test_a_minimal_file_is_the_default_service_and_gets_the_platforms_entrypoint(write: Writer) -> None:
    service = load_service(write("runtime: python313\n"))
    assert service.name == "default"
    assert "gunicorn" in service.entrypoint
    assert "main:app" in service.entrypoint
    assert service.first_request is None


def test_manual_scaling_gets_a_start_request_instead_of_a_warm_up(write: Writer) -> None:
    service = load_service(write("runtime: python313\nmanual_scaling:\n  instances: 1\n"))
    assert (service.first_request, service.instance_class) == ("/_ah/start", "B2")


def test_files_are_told_apart_whatever_their_order_and_name(write: Writer) -> None:
    files = [
        write("queue:\n- name: a\n  rate: 1/s\n", "queues-of-mine.yaml"),
        write("runtime: python313\nservice: worker\n", "worker.yaml"),
        write("dispatch:\n- url: '*/work/*'\n  service: worker\n", "dispatch.yaml"),
        write("runtime: python313\n"),
    ]
    write("indexes: []\n", "index.yaml")
    application = load_application(files)
    assert set(application.services) == {"default", "worker"}
    assert application.queue_file == files[0]
    assert application.dispatch_file == files[2]
    assert application.index_file == write.folder / "index.yaml"
    assert application.routes.service_for("localhost", "/work/1") == "worker"


HANDLER = "runtime: python313\nhandlers:\n- url: "
MISTAKES = [
    ("runtime: python313\nfoo: 1\n", "line 2, key 'foo': unknown key 'foo'"),
    ("runtime: python313\nentrypiont: x\n", "unknown key 'entrypiont'; did you mean 'entrypoint'?"),
    (HANDLER + "/a\n  bogus: auto\n", "line 4, key 'bogus': unknown key 'bogus'"),
    (HANDLER + "/a\n  script: auto\n  login: nobody\n", "line 5, key 'login': Value 'nobody' for login"),
    (HANDLER + "/(\n  script: auto\n", "line 3, key 'url': url '/(' is not a regular expression"),
    (
        HANDLER + "/a\n  static_files: a\n  upload: a(\n",
        "line 5, key 'upload': upload 'a(' is not a regular expression",
    ),
    (HANDLER + "/a\n", "key 'url': a handler needs one of script, static_dir and static_files"),
    ("runtime: python313\nruntime: x\n", "line 2, key 'runtime': Duplicate attribute"),
    ('runtime: "abc\n', "line 1, key 'runtime': not YAML: found unexpected end of stream"),
    ("\tx: 1", "line 1, key 'x': not YAML"),
    ("- a\n- b\n", "the key 'runtime' is missing"),
    ("", "the file is empty"),
    ("runtime: python313\n---\nruntime: python313\n", "MultipleConfigurationFile"),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_a_mistake_is_one_line_with_file_line_and_key(write: Writer, text: str, expected: str) -> None:
    file = write(text)
    with pytest.raises(ConfigurationError) as caught:
        load_application([file])
    message = str(caught.value)
    assert message.startswith(str(file))
    assert expected in message
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml: there is no such file"):
        load_application([tmp_path / "nowhere.yaml"])


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_bytes(b"runtime: \xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"app\.yaml: can't be read"):
        load_application([file])


def test_two_services_of_one_name_are_refused_with_both_files(write: Writer) -> None:
    one, two = write("runtime: python313\n"), write("runtime: python313\n", "other.yaml")
    with pytest.raises(
        ConfigurationError, match=r"other\.yaml: the service 'default' is described by .*app\.yaml"
    ):
        load_application([one, two])


def test_a_mistake_in_dispatch_yaml_names_it(write: Writer) -> None:
    app = write("runtime: python313\n")
    rules = write("dispatch:\n- url: '*/x'\n  service: nobody\n", "dispatch.yaml")
    with pytest.raises(ConfigurationError, match=r"dispatch\.yaml: \*/x goes to the service 'nobody'"):
        load_application([app, rules])


def test_without_a_service_there_is_nothing_to_run(write: Writer) -> None:
    with pytest.raises(ConfigurationError, match=r"name app\.yaml"):
        load_application([write("queue: []\n", "queue.yaml")])


def test_one_queue_file_is_enough(write: Writer) -> None:
    files = [
        write("queue: []\n", "queue.yaml"),
        write("queue: []\n", "more.yaml"),
        write("runtime: python313\n"),
    ]
    with pytest.raises(ConfigurationError, match="a queue file already"):
        load_application(files)


def test_cron_yaml_is_known_by_its_name_and_by_its_key(write: Writer) -> None:
    service = write("runtime: python313\n")
    for name in ("cron.yaml", "jobs.yaml"):
        file = write("cron: []\n", name)
        assert load_application([service, file]).cron_file == file
