"""Kinds and lists of entities: filters, orders, pages, GQL, deleting a whole kind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from localcloud.console.datastore import Datastore
from localcloud.console.keys import Database
from localcloud.datastore import messages as m
from localcloud.datastore.messages import Value

from tests.console.entities import entity, key
from tests.console.visitor import Page, Visitor

EU = Database("local-project", "", "eu")
OTHER = Database("local-project", "second")


def shown_keys(page: Page) -> Sequence[str]:
    return re.findall(r'<tr><th scope="row"><a href="[^"]+">([^<]+)</a>', page.text)


def test_an_empty_database_says_what_to_do(visitor: Visitor) -> None:
    page = visitor.get("/data")

    assert page.status == 200
    assert "There are no entities here" in page.text
    assert page.links["Add the first"] == "/data/new"


def test_kinds_are_counted_by_namespace_and_database(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "Counter", number) for number in range(1, 4)])
    datastore.upsert_all([entity(EU, "Counter", 1), entity(EU, "Person", 1)])
    datastore.upsert_all([entity(OTHER, "Elsewhere", 1)])

    page = visitor.get("/data")
    rows = re.findall(
        r"kind=(\w+)(&amp;namespace=eu)?\">\w+</a></th>\s*<td class=\"number\">([\d,]+)", page.text
    )

    assert [(kind, bool(eu), count) for kind, eu, count in rows] == [
        ("Counter", False, "3"),
        ("Counter", True, "1"),
        ("Person", True, "1"),
    ]
    assert "Elsewhere" not in page.text
    assert "Elsewhere" in visitor.get(page.links["second"]).text


def test_a_list_goes_on_from_page_to_page(visitor: Visitor, datastore: Datastore, where: Database) -> None:
    datastore.upsert_all([entity(where, "Person", number, n=number) for number in range(1, 121)])

    page = visitor.get("/data/kind", kind="Person")
    assert "<strong>120</strong>" in page.text
    seen = list(shown_keys(page))
    while "Next page" in page.links:
        page = visitor.get(page.links["Next page"])
        seen += shown_keys(page)

    assert seen == [f"Person {number}" for number in range(1, 121)]
    assert page.links["First page"]


def test_one_wrong_entity_among_many_is_found_by_a_filter_and_repaired(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "Person", number, age=30) for number in range(1, 200)])
    datastore.upsert_all([entity(where, "Person", 77, age=-1)])

    form = visitor.get("/data/kind", kind="Person").form("/data/kind")
    form.set("property", "age")
    form.set("operator", "<")
    form.set("value", "0")
    page = visitor.submit(form)
    assert shown_keys(page) == ["Person 77"]

    form = visitor.get(page.links["Person 77"]).form("/data/entity")
    form.set("text", "31", form.place_of("name", '"age"'))
    assert visitor.submit(form).message == "Saved: age."

    found = datastore.lookup(key(where, "Person", 77))
    assert found is not None
    assert found.entity.properties["age"].integer_value == 31


def test_filters_say_type_and_operator_and_the_address_holds_them(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all(
        [
            entity(where, "T", 1, v=5),
            entity(where, "T", 2, v="5"),
            entity(where, "T", 3, v=Value(double_value=5)),
            entity(where, "T", 4, v=7),
        ]
    )

    def found(operator: str, value: str, kind: str = "by its look", name: str = "v") -> Sequence[str]:
        page = visitor.get("/data/kind", kind="T", property=name, operator=operator, type=kind, value=value)
        assert page.status == 200, page.message
        return [each.removeprefix("T ") for each in shown_keys(page)]

    assert found("=", "5") == ["1"]
    assert found("=", "5", "string") == ["2"]
    assert found("=", '"5"') == ["2"]
    assert "4" in found(">", "5")
    assert found("IN", "[7, 9]") == ["4"]
    assert found("=", "KEY(T, 4)", name="__key__") == ["4"]
    assert found("HAS ANCESTOR", "T 4", name="__key__") == ["4"]


def test_what_no_index_has_is_searched_for(visitor: Visitor, datastore: Datastore, where: Database) -> None:
    hidden = Value(string_value="The Needle", exclude_from_indexes=True)
    datastore.upsert_all([entity(where, "T", number, v=number, note="hay") for number in range(1, 701)])
    datastore.upsert_all([entity(where, "T", 650, v="650", note=hidden), entity(where, "T", 651, note="hay")])

    def found(name: str, operator: str, value: str) -> Page:
        return visitor.get(
            "/data/kind", kind="T", property=name, operator=operator, type="string", value=value
        )

    assert shown_keys(found("note", "CONTAINS", "needle")) == ["T 650"]
    assert "found in 700 entities" in found("note", "CONTAINS", "needle").text
    assert shown_keys(found("v", "IS OF TYPE", "string")) == ["T 650"]
    assert shown_keys(visitor.get("/data/kind?kind=T&property=v&operator=IS+MISSING&type=string&value=")) == [
        "T 651"
    ]
    assert found("v", "IS OF TYPE", "colour").status == 400

    page = found("v", "CONTAINS", "1")
    seen = list(shown_keys(page))
    while "Search on" in page.links:
        page = visitor.get(page.links["Search on"])
        seen += shown_keys(page)
    assert seen == [f"T {number}" for number in range(1, 701) if "1" in str(number) and number != 651]
    exported = visitor.send(
        "GET", "/data/export?kind=T&property=note&operator=CONTAINS&type=string&value=needle"
    )
    assert exported.text.count("\n") == 1


def test_an_empty_value_filters_for_the_empty_string(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, v=""), entity(where, "T", 2, v="x")])

    page = visitor.get("/data/kind?kind=T&property=v&operator=%3D&type=string&value=")

    assert shown_keys(page) == ["T 1"]
    assert "value=&amp;" in page.links["v"] or page.links["v"].count("value=") == 1


def test_a_column_is_sorted_by_its_head(visitor: Visitor, datastore: Datastore, where: Database) -> None:
    datastore.upsert_all([entity(where, "T", number, v=-number) for number in (1, 2, 3)])

    page = visitor.get(visitor.get("/data/kind", kind="T").links["v"])
    assert shown_keys(page) == ["T 3", "T 2", "T 1"]
    page = visitor.get(next(link for name, link in page.links.items() if name.startswith("v")))
    assert shown_keys(page) == ["T 1", "T 2", "T 3"]


def test_filtered_properties_come_first_among_many_columns(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, **{f"p{number:02}": number for number in range(30)})])

    page = visitor.get("/data/kind", kind="T", property="p29", operator="=", value="29", type="integer")

    heads = re.findall(r'<th scope="col"[^>]*>\s*<a[^>]*>(\w+)', page.text)
    assert heads[0] == "p29"
    assert "18 more properties" in page.text


def test_the_index_that_a_query_needs_is_told(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    page = visitor.get(
        "/data/kind", kind="T", property="a", operator="=", value="1", type="integer", order="-b"
    )

    assert "needs an index" in page.text
    assert "- kind: T\n  properties:\n  - name: a\n  - name: b\n    direction: desc" in page.text


def test_a_filter_that_cannot_be_is_told_and_kept(visitor: Visitor) -> None:
    page = visitor.get("/data/kind", kind="T", property="a", operator="<", value="x", type="integer")

    assert page.status == 400
    assert "Filter 1 (a): 'x' is not an integer" in page.message
    assert ("value", "x") in page.form("/data/kind").fields


def test_markup_in_stored_values_is_text(visitor: Visitor, datastore: Datastore, where: Database) -> None:
    evil = "<script>alert(1)</script>"
    datastore.upsert_all([entity(where, evil, evil, **{evil: evil})])

    pages = [visitor.get("/data"), visitor.get("/"), visitor.get("/data/kind", kind=evil)]
    pages.append(visitor.get(next(link for link in pages[2].links.values() if "/data/entity" in link)))

    for page in pages:
        assert page.status == 200
        assert evil not in page.text
        assert "&lt;script&gt;" in page.text


def test_gql_is_run_by_the_server_and_its_errors_are_shown(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", number, v=number) for number in (1, 2, 3)])
    form = visitor.get("/data/gql").form("/data/gql")
    form.set("q", "SELECT * FROM T WHERE v >= 2 ORDER BY v DESC")

    assert shown_keys(visitor.submit(form)) == ["T 3", "T 2"]

    form.set("q", "SELECT COUNT(*) AS n FROM T WHERE v >= 2")
    assert re.search(r"<dt>n</dt>\s*<dd>2</dd>", visitor.submit(form).text)

    form.set("q", "SELECT * FROM")
    page = visitor.submit(form)
    assert page.status == 400
    assert "INVALID_ARGUMENT" in page.message


def test_deleting_a_kind_wants_its_name_typed(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "Gone", number) for number in range(1, 701)])
    datastore.upsert_all([entity(where, "Kept", 1), entity(EU, "Gone", 1)])

    page = visitor.get("/data/delete-kind", kind="Gone")
    assert "<strong>700</strong> entities of kind <strong>Gone</strong>" in page.text
    form = page.form("/data/delete-kind")
    form.set("typed", "Kept")
    refused = visitor.submit(form)
    assert refused.status == 400
    assert "Nothing was deleted" in refused.message
    form.set("typed", "Gone")

    assert "700 entities of kind Gone were deleted." in visitor.submit(form).message

    assert datastore.count(where, m.Query(kind=[{"name": "Gone"}])) == 0
    assert datastore.count(where, m.Query(kind=[{"name": "Kept"}])) == 1
    assert datastore.count(EU, m.Query(kind=[{"name": "Gone"}])) == 1


def test_a_server_that_does_not_answer_looks_like_no_empty_one(
    tasks_visitor: Visitor, visitor: Visitor
) -> None:
    page = visitor.get("/tasks")

    assert page.status == 502
    assert "Cloud Tasks at 127.0.0.1:1 does not answer" in page.message
    overview = visitor.get("/")
    assert overview.status == 200
    assert "does not answer" in overview.message


def test_somebody_elses_datastore_is_shown_through_its_api_alone(
    foreign_visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "Counter", number) for number in range(1, 4)])
    datastore.upsert_all([entity(EU, "Person", 1)])

    page = foreign_visitor.get("/data")

    assert re.findall(
        r'>(\w+)</a></th>\s*<td class="number">(\d+)</td><td class="number">([\w ]+)', page.text
    ) == [
        ("Counter", "3", "not known"),
        ("Person", "1", "not known"),
    ]
    assert "<strong>3</strong>" in foreign_visitor.get("/data/kind", kind="Counter").text
    assert foreign_visitor.get("/cron").status == 200
