"""A GQL string as the Query or AggregationQuery that it stands for."""

from __future__ import annotations

from localcloud.datastore.catalog import Partition
from localcloud.datastore.errors import invalid
from localcloud.datastore.gql.bindings import Bindings
from localcloud.datastore.gql.conditions import Conditions
from localcloud.datastore.gql.reader import Reader
from localcloud.datastore.gql.values import Values
from localcloud.datastore.messages import AggregationQuery, Message, PropertyOrder, Query

_ASCENDING = PropertyOrder.Direction.Value("ASCENDING")
_DESCENDING = PropertyOrder.Direction.Value("DESCENDING")
_AGGREGATIONS = frozenset({"count", "count_up_to", "sum", "avg"})
_MOST = (1 << 31) - 1


def parse_query(gql: Message, partition: Partition) -> Message:
    """The Query message of a GqlQuery in a request of this partition. Raises Refused."""
    query = _Parser(gql, partition).parse()
    if not isinstance(query, Query):
        raise invalid("GQL: RunQuery got an aggregation. Expected it in RunAggregationQuery.")
    return query


def parse_aggregation_query(gql: Message, partition: Partition) -> Message:
    """The AggregationQuery message of a GqlQuery in a request of this partition. Raises Refused."""
    query = _Parser(gql, partition).parse()
    if not isinstance(query, AggregationQuery):
        raise invalid("GQL: RunAggregationQuery got a plain query. Expected one such as SELECT COUNT(*).")
    return query


class _Parser:
    """One query."""

    def __init__(self, gql: Message, partition: Partition) -> None:
        self._bindings = Bindings(gql)
        reader = self._reader = Reader(gql.query_string)
        self._values = Values(reader, self._bindings, partition, literals=gql.allow_literals)
        self._conditions = Conditions(reader, self._values)

    def parse(self) -> Message:
        """A Query or an AggregationQuery."""
        reader = self._reader
        if reader.accept("aggregate"):
            query = self._aggregation_over()
            ending = "the query's end"
        else:
            reader.expect("select")
            if reader.token.word in _AGGREGATIONS:
                query = self._simple_aggregation()
                ending = "WHERE or the query's end"
            else:
                query = self._selection()
                ending = "WHERE, ORDER BY, LIMIT, OFFSET, in this order, or the query's end"
        if not reader.is_at_end:
            raise reader.expected(ending)
        self._bindings.check_all_used()
        return query

    def _aggregation_over(self) -> Message:
        reader = self._reader
        query = AggregationQuery()
        self._aggregations(query)
        reader.expect("over")
        reader.expect("(")
        reader.expect("select")
        query.nested_query.CopyFrom(self._selection())
        reader.expect(")")
        return query

    def _simple_aggregation(self) -> Message:
        query = AggregationQuery()
        self._aggregations(query)
        query.nested_query.SetInParent()
        self._from_where(query.nested_query)
        return query

    def _aggregations(self, query: Message) -> None:
        reader = self._reader
        while True:
            word = reader.token.word
            if word not in _AGGREGATIONS:
                raise reader.expected("COUNT, COUNT_UP_TO, SUM or AVG")
            reader.take()
            aggregation = query.aggregations.add()
            reader.expect("(")
            if word == "count":
                reader.expect("*")
                aggregation.count.SetInParent()
            elif word == "count_up_to":
                aggregation.count.up_to.value = self._values.integer()
            else:
                getattr(aggregation, word).property.name = reader.property()
            reader.expect(")")
            if reader.accept("as"):
                aggregation.alias = reader.name("an alias")
            if not reader.accept(","):
                return

    def _selection(self) -> Message:
        """What follows SELECT."""
        reader = self._reader
        query = Query()
        if reader.accept("distinct"):
            if reader.accept("on"):
                reader.expect("(")
                distinct = reader.properties()
                reader.expect(")")
                projection = [] if reader.accept("*") else reader.properties()
            else:
                distinct = projection = reader.properties()
            for path in distinct:
                query.distinct_on.add(name=path)
        elif reader.accept("*"):
            projection = []
        else:
            projection = reader.properties()
        for path in projection:
            query.projection.add().property.name = path
        self._from_where(query)
        if reader.token.word == "group":
            raise reader.refused(reader.token, "GROUP BY is not part of GQL. Expected SELECT DISTINCT ON.")
        self._order(query)
        self._limit(query)
        self._offset(query)
        return query

    def _from_where(self, query: Message) -> None:
        reader = self._reader
        if reader.accept("from"):
            query.kind.add(name=reader.name("a kind"))
        if reader.accept("where"):
            query.filter.CopyFrom(self._conditions.condition())

    def _order(self, query: Message) -> None:
        reader = self._reader
        if not reader.accept("order", "by"):
            return
        while True:
            order = query.order.add(direction=_ASCENDING)
            order.property.name = reader.property()
            if reader.accept("desc"):
                order.direction = _DESCENDING
            else:
                reader.accept("asc")
            if not reader.accept(","):
                return

    def _limit(self, query: Message) -> None:
        reader = self._reader
        token = reader.token
        if not reader.accept("limit"):
            return
        if not reader.accept("first", "("):
            positions = [self._values.position()]
        else:
            # Real service: FIRST ends at a cursor or after a number of results, whichever comes first.
            positions = [self._values.position()]
            reader.expect(",")
            positions.append(self._values.position())
            reader.expect(")")
            if isinstance(positions[0], bytes) is isinstance(positions[1], bytes):
                raise reader.refused(token, "FIRST needs a number and a cursor.")
        for position in positions:
            if isinstance(position, bytes):
                query.end_cursor = position
            else:
                query.limit.value = self._count("LIMIT", position)

    def _offset(self, query: Message) -> None:
        reader = self._reader
        token = reader.token
        if not reader.accept("offset"):
            return
        position = self._values.position()
        if isinstance(position, int):
            query.offset = self._count("OFFSET", position)
            return
        query.start_cursor = position
        if reader.accept("+"):
            further = self._values.position()
            if not isinstance(further, int):
                raise reader.refused(token, "OFFSET has a cursor after the +. Expected a number.")
            query.offset = self._count("OFFSET", further)

    def _count(self, clause: str, number: int) -> int:
        if not 0 <= number <= _MOST:
            raise invalid(f"GQL: {clause} is {number:,}. Expected 0 to {_MOST:,}.")
        return number
