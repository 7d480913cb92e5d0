"""One batch of a query's results: skipping, limits, cursors, and the message that carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from localcloud.datastore import wire
from localcloud.datastore.cursors import Cursor, decode_cursor, encode_cursor, signature
from localcloud.datastore.key_encoding import decode_path, key_message
from localcloud.datastore.messages import Entity, EntityResult, QueryResultBatch
from localcloud.datastore.metadata_kinds import MetadataStream
from localcloud.datastore.property_paths import masked
from localcloud.datastore.query_plan import Plan
from localcloud.datastore.query_positions import Positions
from localcloud.datastore.query_sql import Source
from localcloud.datastore.query_stream import Item, Stream
from localcloud.datastore.value_encoding import decode_value

MAX_RESULTS = 500
MAX_BYTES = 1_000_000
_CHUNK = 100

_FULL = EntityResult.ResultType.Value("FULL")
_PROJECTION = EntityResult.ResultType.Value("PROJECTION")
_KEY_ONLY = EntityResult.ResultType.Value("KEY_ONLY")
_NOT_FINISHED: int = QueryResultBatch.MoreResultsType.Value("NOT_FINISHED")
_AFTER_LIMIT: int = QueryResultBatch.MoreResultsType.Value("MORE_RESULTS_AFTER_LIMIT")
_NO_MORE: int = QueryResultBatch.MoreResultsType.Value("NO_MORE_RESULTS")
_AFTER_CURSOR: int = QueryResultBatch.MoreResultsType.Value("MORE_RESULTS_AFTER_CURSOR")


@dataclass(slots=True)
class Batch:
    """A QueryResultBatch in bytes, and what it took."""

    content: bytes
    results: int
    skipped: int
    rows_scanned: int


class BatchReader:
    """Reads the next batch of a query from one state of the database."""

    def __init__(
        self, plan: Plan, source: Source, stream: Stream | MetadataStream, mask: list[list[str]] | None
    ) -> None:
        self._plan = plan
        self._source = source
        self._stream = stream
        self._mask = mask
        self._signature = signature(plan)
        self._last_cursor = b""
        self._results: list[bytes] = []
        self._size = 0

    def read(self, start: Cursor | None) -> Batch:
        """The batch that begins after `start`."""
        plan = self._plan
        items = until_end_cursor(self._stream.results(start), plan)
        last: Item | None = None
        skipped = 0
        while skipped < plan.offset and (item := next(items, None)) is not None:
            skipped += 1
            last = item
        skipped_cursor = self._cursor(last) if last is not None else b""
        more = self._more(items) if skipped == plan.offset else self._at_the_end
        end_cursor = self._end_cursor(last, start)
        batch = self._head(skipped, skipped_cursor)
        batch += b"".join(wire.field(2, result) for result in self._results)
        if self._results:
            end_cursor = self._last_cursor
        if more == _NOT_FINISHED:
            end_cursor = end_cursor[:1] + self._source.version.to_bytes(8, "big") + end_cursor[9:]
        batch += wire.field(4, end_cursor) + wire.number_field(5, more)
        batch += wire.number_field(7, self._source.version) + wire.field(
            8, wire.timestamp(self._source.version)
        )
        return Batch(batch, len(self._results), skipped, self._stream.rows_scanned)

    @property
    def _at_the_end(self) -> int:
        """The answer's value when the results have run out."""
        return _AFTER_CURSOR if self._plan.end_cursor else _NO_MORE

    def _more(self, items: Iterator[Item]) -> int:
        plan = self._plan
        most = MAX_RESULTS if plan.limit is None else min(plan.limit, MAX_RESULTS)
        if plan.limit == 0:
            return _AFTER_LIMIT
        chunk: list[Item] = []
        while len(self._results) + len(chunk) < most:
            item = next(items, None)
            if item is not None:
                chunk.append(item)
            if chunk and (item is None or len(chunk) >= _CHUNK or len(self._results) + len(chunk) == most):
                for done, each in enumerate(self._render(chunk), 1):
                    self._add(each, chunk[done - 1])
                    if self._size >= MAX_BYTES and (done < len(chunk) or item is not None):
                        return _NOT_FINISHED
                chunk = []
            if item is None:
                return self._at_the_end
        if next(items, None) is None:
            return self._at_the_end
        return _AFTER_LIMIT if plan.limit is not None and len(self._results) == plan.limit else _NOT_FINISHED

    def _add(self, result: bytes, item: Item) -> None:
        cursor = self._last_cursor = self._cursor(item)
        result += wire.field(3, cursor)
        self._results.append(result)
        self._size += len(result)

    def _head(self, skipped: int, skipped_cursor: bytes) -> bytes:
        plan = self._plan
        kind = _PROJECTION if plan.projection else _KEY_ONLY if plan.is_keys_only else _FULL
        head = wire.number_field(1, kind)
        if skipped:
            head += wire.field(3, skipped_cursor) + wire.number_field(6, skipped)
        return head

    def _cursor(self, item: Item) -> bytes:
        return encode_cursor(Cursor(item.values, item.key), self._signature)

    def _end_cursor(self, last: Item | None, start: Cursor | None) -> bytes:
        if last is not None:
            return self._cursor(last)
        return encode_cursor(Cursor(start.values, start.key) if start else Cursor(), self._signature)

    def _render(self, items: list[Item]) -> list[bytes]:
        """EntityResults without their cursors."""
        plan = self._plan
        if plan.projection:
            return [self._projected(item) for item in items]
        if plan.is_keys_only:
            return [wire.key_result(self._key(item.key)) for item in items]
        rows = self._stream.entities(list({item.key for item in items}))
        results = []
        for item in items:
            version, created, data = rows[item.key]
            if self._mask is not None:
                data = masked(Entity.FromString(data), self._mask).SerializeToString()
            results.append(wire.entity_result(data, version, created))
        return results

    def _projected(self, item: Item) -> bytes:
        entity = Entity()
        entity.ParseFromString(wire.field(1, self._key(item.key)))
        values = {column.path: value for column, value in zip(self._plan.columns, item.values, strict=True)}
        for path in self._plan.projection:
            entity.properties[path].CopyFrom(decode_value(values[path]))
        return wire.field(1, entity.SerializeToString(deterministic=True))

    def _key(self, key: bytes) -> bytes:
        where = self._plan.partition
        message = key_message(decode_path(key, 4), where.project, where.database, where.namespace)
        content: bytes = message.SerializeToString()
        return content


def until_end_cursor(items: Iterator[Item], plan: Plan) -> Iterator[Item]:
    """The results up to the plan's end cursor; all, if it has none."""
    if not plan.end_cursor:
        yield from items
        return
    end = decode_cursor(plan.end_cursor, plan)
    if end.key is None:
        return
    bound = Positions(plan).sort_key(end.values, end.key)
    for item in items:
        if item.sort_key > bound:
            return
        yield item
