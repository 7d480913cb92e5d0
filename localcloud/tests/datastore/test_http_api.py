"""Datastore over HTTP/1.1: JSON and protobuf, the same methods and the same refusals as over gRPC."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.rpc import status_pb2
from localcloud.datastore import DatastoreServer
from localcloud.datastore import messages as m

from tests.datastore.api import PROJECT, condition, query, upsert
from tests.datastore.clients import PropertyFilter, datastore

JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Http:
    """One connection that is kept, to a server's HTTP port."""

    def __init__(self, server: DatastoreServer) -> None:
        assert server.http_address is not None
        self.address = server.http_address
        self._connection = http.client.HTTPConnection(self.address, timeout=20)

    def post(
        self, method: str, content: Any, headers: Mapping[str, str] = JSON, *, query: str = ""
    ) -> tuple[int, str, bytes]:
        """Status, media type and content. What is not bytes goes as JSON; an iterable of bytes in chunks."""
        if isinstance(content, dict | list):
            content = json.dumps(content).encode()
        self._connection.request("POST", f"/v1/projects/{method}{query}", content, dict(headers))
        response = self._connection.getresponse()
        return response.status, response.headers.get_content_type(), response.read()

    def json(self, method: str, content: Any, **more: Any) -> Any:
        """The JSON answer to JSON, under the usual project."""
        status, media_type, answer = self.post(f"{PROJECT}:{method}", content, **more)
        assert media_type == "application/json"
        found = json.loads(answer)
        assert ("error" in found) == (status != 200)
        return found

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def web(server: DatastoreServer) -> Iterator[Http]:
    found = Http(server)
    yield found
    found.close()


def put(number: int = 1, **names: Any) -> dict[str, Any]:
    """A CommitRequest in JSON."""
    properties = {"n": {"integerValue": str(number)}, "b": {"blobValue": "_w=="}, "z": {"nullValue": None}}
    entity = {"key": {"path": [{"kind": "T", "id": str(number)}]}, "properties": properties}
    return {"mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": entity}], **names}


def test_json_commits_looks_up_and_queries_in_protobufs_own_mapping(web: Http) -> None:
    assert web.json("commit", put())["mutationResults"][0]["version"].isdigit()
    found = web.json("lookup", {"keys": [{"path": [{"kind": "T", "id": 1}]}]})["found"][0]["entity"]
    assert found["properties"]["n"] == {"integerValue": "1"}
    assert found["properties"]["b"] == {"blobValue": "/w=="}
    assert found["properties"]["z"] == {"nullValue": None}
    for name in ("queryString", "query_string"):
        batch = web.json("runQuery", {"gqlQuery": {name: "SELECT * FROM T"}})["batch"]
        assert batch["entityResultType"] == "FULL"
        assert batch["moreResults"] == "NO_MORE_RESULTS"
        assert len(batch["entityResults"]) == 1


def test_every_method_has_its_path(web: Http) -> None:
    transaction = web.json("beginTransaction", {})["transaction"]
    assert base64.b64decode(transaction)
    assert web.json("rollback", {"transaction": transaction}) == {}
    (key,) = web.json("allocateIds", {"keys": [{"path": [{"kind": "T"}]}]})["keys"]
    assert web.json("reserveIds", {"keys": [key]}) == {}
    aggregation = {"aggregations": [{"alias": "c", "count": {}}], "nestedQuery": {"kind": [{"name": "T"}]}}
    counted = web.json("runAggregationQuery", {"aggregationQuery": aggregation})
    results = counted["batch"]["aggregationResults"]
    assert results == [{"aggregateProperties": {"c": {"integerValue": "0"}}}]


def test_protobuf_is_answered_in_protobuf(web: Http) -> None:
    commit = m.CommitRequest(mutations=[upsert(("T", 1), n=1)], mode=2).SerializeToString()
    assert web.post(f"{PROJECT}:commit", commit, PROTOBUF)[:2] == (200, "application/x-protobuf")
    asked = m.RunQueryRequest(query=query("T", condition("n", "=", 1))).SerializeToString()
    _, _, content = web.post(f"{PROJECT}:runQuery", asked, PROTOBUF)
    assert len(m.RunQueryResponse.FromString(content).batch.entity_results) == 1
    status, media_type, content = web.post(f"{PROJECT}:runQuery", b"\xff", PROTOBUF)
    assert (status, media_type) == (400, "application/x-protobuf")
    error = status_pb2.Status.FromString(content)  # type: ignore[attr-defined, unused-ignore]
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "RunQueryRequest" in error.message
    _, media_type, content = web.post(f"{PROJECT}:runQuery", asked, PROTOBUF, query="?alt=json&key=x")
    assert media_type == "application/json"
    assert json.loads(content)["batch"]


def test_errors_are_a_status_in_json(web: Http) -> None:
    web.json("commit", put())
    insert = {"mutations": [{"insert": put()["mutations"][0]["upsert"]}], "mode": "NON_TRANSACTIONAL"}
    error = web.json("commit", insert)["error"]
    assert (error["code"], error["status"]) == (409, "ALREADY_EXISTS")
    assert error["message"]


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "words"),
    [
        ("p:runQuery", b"{", JSON, 400, ["not JSON"]),
        ("p:runQuery", b"[" * 100_000, JSON, 400, ["not JSON"]),
        ("p:runQuery", [], JSON, 400, ["Expected an object"]),
        ("p:runQuery", {"quary": {}}, JSON, 400, ["RunQueryRequest", "quary"]),
        ("p:commit", {"mode": "OFTEN"}, JSON, 400, ["CommitRequest", "OFTEN"]),
        ("p:commit", {"transaction": "x"}, JSON, 400, ["CommitRequest"]),
        ("p:runQuery", {}, {"Content-Type": "text/html"}, 400, ["text/html", "application/json"]),
        ("p:runQuery", {"projectId": "q"}, JSON, 400, ["'p'", "'q'"]),
        ("p:runQuery", {}, {**JSON, "Content-Encoding": "br"}, 400, ["br", "gzip"]),
        ("p:runQuery", b"no", {**JSON, "Content-Encoding": "gzip"}, 400, ["unpacked"]),
        ("p:drop", {}, JSON, 404, ["drop", "runQuery"]),
        ("p/indexes", {}, JSON, 404, ["indexes"]),
        ("p:runQuery", {}, JSON, 400, ["gql_query"]),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    web: Http, path: str, content: Any, headers: Mapping[str, str], status: int, words: list[str]
) -> None:
    found, _, answer = web.post(path, content, headers)
    assert found == status
    message = json.loads(answer)["error"]["message"]
    assert all(word in message for word in words), message


def test_a_projects_id_may_hold_a_colon(web: Http) -> None:
    for project in ("example.com:shop", "example.com%3Ashop"):
        status, _, _ = web.post(f"{project}:commit", put())
        assert status == 200
    _, _, content = web.post("example.com:shop:lookup", {"keys": [{"path": [{"kind": "T", "id": 1}]}]})
    (found,) = json.loads(content)["found"]
    assert found["entity"]["key"]["partitionId"] == {"projectId": "example.com:shop"}


def test_bodies_come_compressed_or_in_chunks(web: Http) -> None:
    content = json.dumps(put()).encode()
    status, _, _ = web.post(f"{PROJECT}:commit", gzip.compress(content), {**JSON, "Content-Encoding": "gzip"})
    assert status == 200
    assert web.post(f"{PROJECT}:commit", iter([content[:10], content[10:]]))[0] == 200
    assert web.json("runQuery", {"gqlQuery": {"queryString": "SELECT * FROM T"}})["batch"]["entityResults"]


def test_a_body_that_unpacks_without_end_is_refused(web: Http) -> None:
    bomb = gzip.compress(b" " * 40_000_000)
    status, _, answer = web.post(f"{PROJECT}:commit", bomb, {**JSON, "Content-Encoding": "gzip"})
    assert status == 400
    assert b"At most" in answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://{address}", "Content-Type": "text/plain"}, 403),
        ({"Origin": "http://{address}", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_sites_are_kept_out(web: Http, headers: Mapping[str, str], status: int) -> None:
    given = {name: value.format(address=web.address) for name, value in headers.items()}
    assert web.post(f"{PROJECT}:commit", put(), {**JSON, **given})[0] == status


def test_pythons_client_works_without_grpc(server: DatastoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.http_address is not None
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", server.http_address)
    client = datastore.Client(project=PROJECT, _use_grpc=False)
    key = client.key("T", 1)
    with client.transaction():
        entity = datastore.Entity(key)
        entity.update({"n": 1, "text": "é"})
        client.put(entity)
    assert client.get(key) == entity
    asked = client.query(kind="T")
    asked.add_filter(filter=PropertyFilter("n", "=", 1))
    assert [each.key for each in asked.fetch()] == [key]
    assert client.aggregation_query(asked).count("c").fetch().pages is not None
    with pytest.raises(exceptions.BadRequest, match="reserved"):
        client.put(datastore.Entity(client.key("__kind__", 1)))
    client._http.close()


def test_a_grpc_client_may_name_the_http_port_too(
    server: DatastoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.http_address is not None
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", server.http_address)
    client = datastore.Client(project=PROJECT)
    client.put(datastore.Entity(client.key("T", 1)))
    assert client.get(client.key("T", 1)) is not None
    client.close()


def test_idle_connections_end_with_the_server() -> None:
    server = DatastoreServer(http_port=0).start()
    web = Http(server)
    assert web.json("commit", put())
    server.close()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        web.json("commit", put())
    web.close()


def test_a_call_without_time_is_not_begun(server: DatastoreServer) -> None:
    request = m.CommitRequest(project_id=PROJECT, mutations=[upsert(("T", 1), n=1)], mode=2)
    with grpc.insecure_channel(server.address) as channel:
        commit: Any = channel.unary_unary(  # type: ignore[call-arg]
            "/google.datastore.v1.Datastore/Commit"
        )
        grpc.channel_ready_future(channel).result(timeout=20)
        for _ in range(20):
            with pytest.raises(grpc.RpcError) as failed:
                commit(request.SerializeToString(), timeout=1e-9)
            error: Any = failed.value
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        lookup: Any = channel.unary_unary(  # type: ignore[call-arg]
            "/google.datastore.v1.Datastore/Lookup"
        )
        asked = m.LookupRequest(project_id=PROJECT, keys=[request.mutations[0].upsert.key])
        answer = m.LookupResponse.FromString(lookup(asked.SerializeToString(), timeout=20))
        assert not answer.found
