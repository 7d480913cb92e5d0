"""The same GQL strings on our Datastore and on both of Google's emulators, where they are installed.

Known differences, which are therefore not among them: the emulators answer some mistakes with UNKNOWN; the
older one has no IN of several values, no OR, no != and no aggregations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from bench.official_emulators import OfficialEmulator
from localcloud.datastore import messages as m

from tests.datastore.api import Api, key, path_of, plain, upsert
from tests.datastore.test_differential import Remote, outcome

ENTITIES = [
    upsert(("T", 1), n=1, s="a", tags=["x", "y"], b=True, d=1.5, z=None, blob=b"hi"),
    upsert(("T", 2), n=2, s="it's", tags=["y"], b=False, d=-2.5, z=3),
    upsert(("T", 3), n=3, s='say "x"', tags=["z"], inner={"x": 7}),
    upsert(("T", "name"), n=4, s="a\\%", ref=key("T", 1)),
    upsert(("P", "p", "T", 9), n=9, s="tab\t"),
]
QUERIES = r'''
    SELECT * FROM T
    select*from`T`where`n`=1AND s='a'
    SELECT * FROM T WHERE s = 'it''s'
    SELECT * FROM T WHERE s = 'it\'s'
    SELECT * FROM T WHERE s = "say ""x"""
    SELECT * FROM T WHERE s = 'a\%'
    SELECT * FROM T WHERE s = 'tab\t'
    SELECT * FROM T WHERE s = 'a\x'
    SELECT * FROM T WHERE select = 1
    SELECT * FROM T WHERE first = 1
    SELECT * FROM T WHERE n IN (1, 2)
    SELECT * FROM T WHERE n IN 1
    SELECT * FROM T WHERE tags CONTAINS 'y'
    SELECT * FROM T WHERE 'y' IN tags
    SELECT * FROM T WHERE 2 < n
    SELECT * FROM T WHERE 2 <= n AND n < 4
    SELECT * FROM T WHERE z IS NULL
    SELECT * FROM T WHERE z IS NOT NULL
    SELECT * FROM T WHERE NULL = z
    SELECT * FROM T WHERE b = TRUE
    SELECT * FROM T WHERE d < .5
    SELECT * FROM T WHERE d = -25e-1
    SELECT * FROM T WHERE d > -1e400
    SELECT * FROM T WHERE d = 1e
    SELECT * FROM T WHERE n = - 1
    SELECT * FROM T WHERE n = +1
    SELECT * FROM T WHERE n = 9223372036854775808
    SELECT * FROM T WHERE n = 1 -- comment
    SELECT * FROM T WHERE blob = BLOB('aGk')
    SELECT * FROM T WHERE blob = BLOB('aGk=')
    SELECT * FROM T WHERE blob = DATETIME('2020-01-01')
    SELECT * FROM T WHERE blob = DATETIME('2020-01-01T00:00:00.5+01:00')
    SELECT * FROM T WHERE __key__ = KEY(T, 1)
    SELECT * FROM T WHERE __key__ = KEY('T', 1)
    SELECT * FROM T WHERE __key__ = KEY(T, 0)
    SELECT * FROM T WHERE __key__ = KEY(NAMESPACE('x'), T, 1)
    SELECT * FROM T WHERE ref = KEY(PROJECT('test-project'), NAMESPACE(''), T, 1)
    SELECT * FROM T WHERE __key__ HAS ANCESTOR KEY(P, 'p')
    SELECT * WHERE KEY(P, 'p') HAS DESCENDANT __key__
    SELECT * FROM T WHERE inner.x = 7
    SELECT * FROM T WHERE `inner.x` = 7
    SELECT __key__ FROM T
    SELECT n, s FROM T ORDER BY n DESC
    SELECT n, n FROM T
    SELECT DISTINCT s FROM T
    SELECT DISTINCT * FROM T
    SELECT DISTINCT ON (s) n FROM T ORDER BY s, n
    SELECT * FROM T LIMIT 2
    SELECT * FROM T LIMIT 1, 2
    SELECT * FROM T LIMIT -1
    SELECT * FROM T LIMIT 2 OFFSET 1
    SELECT * FROM T OFFSET 1 LIMIT 2
    SELECT * FROM T OFFSET 1 + 2
    SELECT * FROM T ORDER BY n ASC DESC
    SELECT * FROM T GROUP BY n
    SELECT * FROM T;
'''.strip().splitlines()
NEWER = """
    SELECT * FROM T WHERE n IN ARRAY(1, 2)
    SELECT * FROM T WHERE n NOT IN ARRAY(1, 2)
    SELECT * FROM T WHERE n != 2
    SELECT * FROM T WHERE n = 1 OR n = 2 AND s = 'a'
    SELECT * FROM T WHERE (n = 1 OR n = 2) AND s = 'a'
""".strip().splitlines()
AGGREGATIONS = """
    SELECT COUNT(*) FROM T
    SELECT COUNT(*) AS total, SUM(n), AVG(n) AS `the mean` FROM T WHERE n > 1
    SELECT COUNT_UP_TO(2) FROM T
    SELECT COUNT(n) FROM T
    SELECT COUNT(*) FROM T LIMIT 2
    AGGREGATE COUNT(*) AS c, SUM(n) AS s OVER (SELECT * FROM T ORDER BY n LIMIT 2)
    AGGREGATE COUNT(*) OVER SELECT * FROM T
""".strip().splitlines()


@pytest.fixture(scope="module", params=["firestore", "datastore"])
def emulator(request: pytest.FixtureRequest) -> Iterator[tuple[str, Remote]]:
    official = OfficialEmulator(request.param)
    if not official.is_installed:
        pytest.skip("Google's emulators are not installed (gcloud components install, and Java)")
    with official, grpc.insecure_channel(official.address) as channel:
        yield request.param, Remote(channel)


def found(api: Api, text: str) -> Any:
    """Keys and properties of what a query finds, in order."""
    asked = m.RunQueryRequest(gql_query={"query_string": text, "allow_literals": True})
    results = api.call("RunQuery", m.RunQueryResponse, asked).batch.entity_results
    return [(path_of(each.entity.key), sorted(map(repr, each.entity.properties))) for each in results]


def computed(api: Api, text: str) -> Any:
    """What an aggregation comes to, by alias."""
    asked = m.RunAggregationQueryRequest(gql_query={"query_string": text, "allow_literals": True})
    batch = api.call("RunAggregationQuery", m.RunAggregationQueryResponse, asked).batch
    (result,) = batch.aggregation_results
    return {alias: plain(value) for alias, value in result.aggregate_properties.items()}


def test_all_answer_alike(api: Api, emulator: tuple[str, Remote]) -> None:
    name, theirs = emulator
    for each in (api, theirs):
        each.commit(*ENTITIES)
    for text in QUERIES + (NEWER if name == "firestore" else []):
        ours = outcome(lambda text=text: found(api, text))  # type: ignore[misc]
        assert ours == outcome(lambda text=text: found(theirs, text)), text  # type: ignore[misc]
    for text in AGGREGATIONS if name == "firestore" else []:
        ours = outcome(lambda text=text: computed(api, text))  # type: ignore[misc]
        assert ours == outcome(lambda text=text: computed(theirs, text)), text  # type: ignore[misc]
