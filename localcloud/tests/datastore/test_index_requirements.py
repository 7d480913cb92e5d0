"""--require-indexes: what production would refuse is refused here, with the lines to add to index.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from localcloud.datastore.errors import BadStart, Refused
from localcloud.datastore.index_requirements import read_index_file

from tests.datastore.api import Api, condition, either, key, query

DECLARED = """
indexes:
- kind: K
  properties:
  - name: a
  - name: b
    direction: desc
- kind: K
  properties:
  - name: c
  - name: b
    direction: desc
- kind: K
  ancestor: yes
  properties:
  - name: a
"""
BELOW = ("__key__", "ancestor", key("R", 1))


@pytest.fixture
def api(make_api: Callable[..., Api], tmp_path: Path) -> Api:
    file = tmp_path / "index.yaml"
    file.write_text(DECLARED, "utf-8")
    return make_api(required_indexes=file)


@pytest.mark.parametrize(
    "asked",
    [
        query(),
        query(None, BELOW),
        query("K"),
        query("K", BELOW),
        query("K", ("x", "=", 1), ("y", "=", 2)),
        query("K", ("x", "=", 1), BELOW),
        query("K", ("x", "=", 1), ("__key__", ">", key("K", 1))),
        query("K", ("x", ">", 1), ("x", "<", 5)),
        query("K", ("x", "in", [1, 2])),
        query("K", order=["x"]),
        query("K", order=["-x"]),
        query("K", ("x", ">", 1), order=["-x"]),
        query("K", projection=["x"]),
        query("K", projection=["__key__"]),
        query("K", order=["a", "-b"]),
        query("K", ("a", "=", 1), order=["-b"]),
        query("K", ("a", "=", 1), ("c", "=", 1), order=["-b"]),
        query("K", ("a", "=", 1), ("b", "<", 5), order=["-b"]),
        query("K", BELOW, order=["a"]),
        query("K", either(condition("x", "=", 1), condition("y", "=", 2))),
        query("__kind__"),
    ],
)
def test_built_in_and_declared_indexes_serve(api: Api, asked: Any) -> None:
    api.find(asked)


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        (
            query("K", ("x", "=", 1), order=["y"]),
            ["- kind: K", "  properties:", "  - name: x", "  - name: y"],
        ),
        (
            query("K", order=["x", "-y"]),
            ["- kind: K", "  properties:", "  - name: x", "  - name: y", "    direction: desc"],
        ),
        (query("K", BELOW, ("x", ">", 1)), ["- kind: K", "  ancestor: yes", "  properties:", "  - name: x"]),
        (
            query("K", ("x", ">", 1), ("y", ">", 1)),
            ["- kind: K", "  properties:", "  - name: x", "  - name: y"],
        ),
        (
            query("K", order=["-__key__"]),
            ["- kind: K", "  properties:", "  - name: __key__", "    direction: desc"],
        ),
        (query("K", projection=["x", "y"]), ["- kind: K", "  properties:", "  - name: x", "  - name: y"]),
        (query("K", order=["a", "b"]), ["- kind: K", "  properties:", "  - name: a", "  - name: b"]),
    ],
)
def test_a_query_without_its_index_is_refused_with_the_lines_to_add(
    api: Api, asked: Any, lines: list[str]
) -> None:
    with pytest.raises(Refused) as refused:
        api.find(asked)
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.message.splitlines()[1:] == lines
    with pytest.raises(Refused, match="no matching index"):
        api.aggregate(asked, ("count", "n"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "indexes:\n", "indexes: []\n"])
def test_an_empty_file_declares_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.yaml").write_text(text, "utf-8")
    read_index_file(tmp_path / "index.yaml")


@pytest.mark.parametrize("text", ["indexes: [", "indexes:\n- kin: K\n", "something: 1\n", "- a\n", "text"])
def test_a_malformed_file_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.yaml").write_text(text, "utf-8")
    with pytest.raises(BadStart, match=r"index\.yaml") as error:
        read_index_file(tmp_path / "index.yaml")
    assert "\n" not in str(error.value)


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadStart, match=r"none\.yaml"):
        read_index_file(tmp_path / "none.yaml")
