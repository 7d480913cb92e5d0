"""A folder stands for the files in it, as `localcloud` alone stands for this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from localcloud.configuration import ConfigurationError, load_application

SERVICE = "runtime: python313\nservice: {}\n"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name.replace('_', '-')}.yaml").write_text(text)


def test_a_folder_stands_for_its_services_and_the_files_beside_them(tmp_path: Path) -> None:
    write(
        tmp_path,
        app="runtime: python313\n",
        api=SERVICE.format("shop"),
        queue="queue: []\n",
        dispatch='dispatch:\n- {url: "*/shop/*", service: shop}\n',
        cron="cron: []\n",
        index="indexes: []\n",
        docker_compose="services:\n  web:\n    runtime: runc\n",
        cloudbuild="steps: []\n",
    )
    (tmp_path / ".hidden.yaml").write_text(SERVICE.format("hidden"))
    application = load_application([tmp_path])
    assert list(application.services) == ["default", "shop"]
    found = (
        application.queue_file,
        application.dispatch_file,
        application.cron_file,
        application.index_file,
    )
    assert [file.name for file in found if file] == ["queue.yaml", "dispatch.yaml", "cron.yaml", "index.yaml"]


def test_no_argument_means_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, api=SERVICE.format("api"))
    monkeypatch.chdir(tmp_path)
    application = load_application([Path()])
    assert application.services["api"].file == tmp_path / "api.yaml"


def test_of_two_files_for_one_service_the_plainest_name_is_taken(tmp_path: Path) -> None:
    write(tmp_path, app="runtime: python313\n", app_staging="runtime: python313\n")
    write(tmp_path, worker=SERVICE.format("worker"), worker_staging=SERVICE.format("worker"))
    services = load_application([tmp_path]).services.values()
    assert [service.file.name for service in services] == ["app.yaml", "worker.yaml"]


def test_a_folder_that_leaves_a_choice_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file in .* describes a service: expected app.yaml"):
        load_application([tmp_path])
    write(tmp_path, one=SERVICE.format("x"), two=SERVICE.format("x"))
    with pytest.raises(ConfigurationError, match=r"one.yaml, two.yaml .* describe the same service, 'x'"):
        load_application([tmp_path])


def test_a_value_that_the_yaml_library_warns_of_is_taken_without_a_word(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    write(tmp_path, app="runtime: python313\nenv_variables:\n  COMMIT: 1e3\n")
    load_application([tmp_path])
    assert not recwarn.list
