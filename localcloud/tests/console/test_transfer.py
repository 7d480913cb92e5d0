"""Entities go out as lines of JSON, and come back the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from localcloud.console.datastore import Datastore
from localcloud.console.errors import Problem
from localcloud.console.keys import Database
from localcloud.console.transfer import export_lines, read_lines, write
from localcloud.datastore import messages as m
from localcloud.datastore.messages import Entity, Value
from localcloud.datastore.server import DatastoreServer

from tests.console.entities import data_of, entity, key
from tests.console.entities import properties as any_properties
from tests.console.test_entity_pages import storable
from tests.console.visitor import Visitor


def everything(datastore: Datastore, where: Database) -> list[bytes]:
    return [data_of(each.entity) for each in datastore.each(where, m.Query())]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_properties)
def test_an_export_imported_is_the_same_to_the_byte(
    datastore: Datastore, datastore_server: DatastoreServer, where: Database, found: dict[str, Any]
) -> None:
    datastore_server.reset()
    message = Entity(key=key(where, "T", 1))
    for name, value in found.items():
        storable(value)
        message.properties[name].CopyFrom(value)
    datastore.upsert_all([message])
    before = everything(datastore, where)

    lines = b"".join(export_lines(datastore, where, m.Query()))
    datastore_server.reset()
    write(datastore, read_lines(lines.splitlines(), where))

    assert everything(datastore, where) == before


def test_a_file_goes_from_one_project_to_another(datastore: Datastore, where: Database) -> None:
    reference = Value(key_value=key(where, "Counter", "c"))
    datastore.upsert_all([entity(where, "T", 1, ref=reference)])

    lines = b"".join(export_lines(datastore, where, m.Query()))
    assert b"local-project" not in lines
    there = Database("another-project", "db")
    write(datastore, read_lines(lines.splitlines(), there))

    assert everything(datastore, there) == [
        data_of(entity(there, "T", 1, ref=Value(key_value=key(there, "Counter", "c"))))
    ]


def test_lines_are_in_the_order_of_keys_and_always_the_same(datastore: Datastore, where: Database) -> None:
    datastore.upsert_all([entity(where, "T", number, b=1, a=2) for number in (3, 1, 2)])

    first = b"".join(export_lines(datastore, where, m.Query())).decode()

    assert [json.loads(line)["key"]["path"][0]["id"] for line in first.splitlines()] == ["1", "2", "3"]
    assert first.splitlines()[0] == (
        '{"key": {"path": [{"kind": "T", "id": "1"}]}, '
        '"properties": {"a": {"integerValue": "2"}, "b": {"integerValue": "1"}}}'
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "Line 2: This is not JSON"),
        (b'{"properties": {}}', "Line 2: the entity has no key"),
        (b'{"key": {"path": [{"kind": "T"}]}}', "Line 2: Key path element must not be incomplete"),
        (b'{"key": {"path": [{"kind": "T", "id": "1"}]}}', "Line 2: the same key as in line 1"),
        (b'{"key": {"path": [{"kind": "T", "id": 2}]}, "properties": {"a": 5}}', 'properties["a"]'),
        (b"\xff", "Line 2: not UTF-8"),
        (
            b'{"key": {"path": [{"kind": "T", "id": "2"}]}, "properties": {"a": {"stringValue": "'
            + b"x" * 1501
            + b'"}}}',
            "longer than 1500 bytes",
        ),
    ],
)
def test_a_bad_line_is_named_before_anything_is_written(where: Database, line: bytes, said: str) -> None:
    good = b'{"key": {"path": [{"kind": "T", "id": "1"}]}, "properties": {}}'
    with pytest.raises(Problem) as raised:
        read_lines([good, line], where)

    assert said in raised.value.text
    assert "Nothing was imported" in raised.value.text


def test_the_browser_gets_what_its_list_shows_and_gives_it_back(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", number, v=number, text="ä\u2028") for number in (1, 2, 3)])

    query = "/data/export?kind=T&property=v&operator=%3E%3D&type=integer&value=2"
    exported = visitor.send("GET", query)
    assert exported.headers["content-disposition"] == 'attachment; filename="T.jsonl"'
    assert exported.text.count("\n") == 2

    form = visitor.get("/data/import").form("/data/import")
    changed = exported.text.replace('"integerValue": "2"', '"integerValue": "22"').encode()
    assert visitor.upload(form, changed).message == "2 entities were imported."
    found = datastore.lookup(key(where, "T", 2))
    assert found is not None
    assert found.entity == entity(where, "T", 2, v=22, text="ä\u2028")

    refused = visitor.upload(form, changed + b"nonsense\n")
    assert refused.status == 400
    assert "Line 3" in refused.message


def test_the_commands_export_and_import(
    datastore: Datastore, datastore_server: DatastoreServer, where: Database, tmp_path: Path
) -> None:
    datastore.upsert_all([entity(where, "T", number, v=number) for number in range(1, 1001)])
    datastore.upsert_all([entity(where, "U", 1)])
    before = everything(datastore, where)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "localcloud", *arguments, "--address", datastore_server.address],
            capture_output=True,
            text=True,
            timeout=60,
        )

    file = tmp_path / "seed.jsonl"
    assert run("export", "-o", str(file)).returncode == 0
    assert len(file.read_text().splitlines()) == 1001
    assert run("export", "--kind", "U").stdout.count("\n") == 1
    datastore_server.reset()
    imported = run("import", str(file))
    assert imported.returncode == 0, imported.stderr
    assert "1,001 entities imported into local-project" in imported.stderr
    assert everything(datastore, where) == before

    file.write_text("nonsense\n")
    refused = run("import", str(file))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"localcloud import: {file}: Line 1:")
    assert refused.stderr.count("\n") == 1


def test_without_a_local_cloud_the_command_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", "export", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )

    assert done.returncode == 1
    assert "no local cloud runs with the data folder" in done.stderr
