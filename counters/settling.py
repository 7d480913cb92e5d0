"""What a person can do with kept tasks: enqueue them again, edited if wished, or discard them.

Enqueueing again goes in three steps, so that a double click or a crash between them makes one task only:
the record says `re-enqueueing` and under which name; the task of that name is created; the record says
`re-enqueued`. Whoever repeats it repeats the same name.
"""

from __future__ import annotations

import logging
from collections import Counter as Tallies
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from google.cloud import ndb

from counters import naming
from counters.database import Database
from counters.increments import InvalidPayload
from counters.models import DISCARDED, KEPT, RE_ENQUEUED, RE_ENQUEUEING, RejectedTask, TaskRecord
from counters.queues import NewTask, OutcomeUnknown, QueueRefused, TaskExists, TaskQueues
from counters.tasks import BY_HAND_PREFIX, Clock, Contention, TaskFailure, in_full, utc_now

log = logging.getLogger(__name__)

_A_TRANSACTION = 25
"""Tasks changed together: 25 payloads of 100 KB, kept twice, stay under a commit's 10 MiB."""

_TRIES = 3
_LONGEST_NAME = 500


class Done(StrEnum):
    """What became of one kept task."""

    ENQUEUED = "enqueued again"
    ALREADY_ENQUEUED = "already enqueued again"
    AS_FIRST_EDITED = "enqueued again as it was first edited, not as now"
    UNSETTLED = "perhaps enqueued: the queue did not answer, so do it again"
    REFUSED = "refused by the queue"
    PERHAPS_BEFORE = "refused by the queue now, but perhaps enqueued by an earlier try that got no answer"
    REMOVED = (
        "not enqueued: an earlier try's task was removed from its queue, and the name is still taken; "
        "do it again in some days"
    )
    DISCARDED = "discarded"
    ALREADY_DISCARDED = "already discarded"
    BUSY = "left alone, because somebody else was changing it"
    MISSING = "not found"


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of several kept tasks, counted."""

    counts: dict[Done, int]
    problem: str = ""

    @property
    def changed(self) -> int:
        return sum(self.counts.get(done, 0) for done in (Done.ENQUEUED, Done.AS_FIRST_EDITED, Done.DISCARDED))

    @property
    def sentence(self) -> str:
        parts = [f"{number} {what}" for what, number in self.counts.items()]
        text = "; ".join(parts) if parts else "nothing to do"
        return f"{text} ({self.problem})" if self.problem else text


@dataclass(frozen=True, slots=True)
class Edit:
    """What to send instead of what was kept; the path may only change in its query."""

    path: str
    payload: bytes


class Settling:
    """Needs a context for each call; threads may share it."""

    def __init__(self, database: Database, queues: TaskQueues, clock: Clock = utc_now) -> None:
        self._database = database
        self._queues = queues
        self._clock = clock

    def enqueue_again(self, task_ids: Sequence[str], edit: Edit | None = None) -> Settled:
        """Enqueue each again, under a derived name. What is done already stays done."""
        counts: Tallies[Done] = Tallies()
        problems: list[str] = []
        for start in range(0, len(task_ids), _A_TRANSACTION):
            some = list(dict.fromkeys(task_ids[start : start + _A_TRANSACTION]))
            try:
                claimed = self._transaction(some, lambda found: _claim(found, edit, self._clock()))
            except TaskFailure as unavailable:
                counts[Done.BUSY] += len(task_ids) - start
                problems.append(str(unavailable))
                break
            if claimed is None:
                counts[Done.BUSY] += len(some)
                continue
            entities = [entity for entity in claimed if entity is not None]
            counts[Done.MISSING] += len(some) - len(entities)
            to_create = [entity for entity in entities if entity.state == RE_ENQUEUEING]
            counts[Done.ALREADY_ENQUEUED] += len(entities) - len(to_create)
            created: list[str] = []
            refused: list[str] = []
            for entity, failure in self._create(to_create):
                if isinstance(failure, TaskExists):
                    failure = self._unless_there(entity)
                if failure is None:
                    created.append(entity.key.id())
                    counts[Done.ENQUEUED if _was_sent(entity, edit) else Done.AS_FIRST_EDITED] += 1
                elif isinstance(failure, TaskExists):
                    counts[Done.REMOVED] += 1
                elif isinstance(failure, OutcomeUnknown):
                    counts[Done.UNSETTLED] += 1
                    log.warning("Task %s: %s", entity.replacement, in_full(failure))
                elif entity.replacement_tries > 1:
                    # It stays as it is: the earlier try's task may be there, and be applied.
                    counts[Done.PERHAPS_BEFORE] += 1
                    problems.append(str(failure))
                else:
                    refused.append(entity.key.id())
                    counts[Done.REFUSED] += 1
                    problems.append(str(failure))
            # If this doesn't succeed, the state stays `re-enqueueing`: doing it again finds the task there.
            with suppress(TaskFailure):
                self._transaction(created, _finish)
                self._transaction(refused, _give_back)
        return Settled(dict(+counts), problems[0] if problems else "")

    def discard(self, task_ids: Sequence[str]) -> Settled:
        """Take each off the list; its record stays, so that the task can't be applied later."""
        counts: Tallies[Done] = Tallies()
        for start in range(0, len(task_ids), _A_TRANSACTION):
            some = list(dict.fromkeys(task_ids[start : start + _A_TRANSACTION]))
            before: list[str | None] = []

            def change(
                found: list[RejectedTask | None], before: list[str | None] = before
            ) -> list[RejectedTask]:
                before[:] = [entity.state if entity is not None else None for entity in found]
                return _discard(found)

            if self._transaction(some, change) is None:
                counts[Done.BUSY] += len(some)
                continue
            for state in before:
                counts[_DISCARDING.get(state, Done.ALREADY_ENQUEUED)] += 1
        return Settled(dict(+counts))

    def _transaction(
        self, task_ids: Sequence[str], change: Callable[[list[RejectedTask | None]], list[RejectedTask]]
    ) -> list[RejectedTask | None] | None:
        """The entities as they are after the change; None if others were changing them all the time."""

        def run() -> list[RejectedTask | None]:
            found = self._database.get(ndb.Key(RejectedTask, task_id) for task_id in task_ids)
            ndb.put_multi(change(found))
            return found

        for _ in range(_TRIES):
            try:
                return self._database.transaction(run)
            except Contention:
                continue
        return None

    def _create(self, entities: Sequence[RejectedTask]) -> list[tuple[RejectedTask, Exception | None]]:
        by_queue: dict[str, list[tuple[RejectedTask, NewTask]]] = {}
        for entity in entities:
            task = self._new_task(entity)
            by_queue.setdefault(task.queue, []).append((entity, task))
        answers: list[tuple[RejectedTask, Exception | None]] = []
        for pairs in by_queue.values():
            failures = self._create_in_queue([task for _, task in pairs])
            answers += [(entity, failure) for (entity, _), failure in zip(pairs, failures, strict=True)]
        return answers

    def _create_in_queue(self, tasks: Sequence[NewTask]) -> list[Exception | None]:
        if len(tasks) > 1:
            try:
                return self._queues.create_batch(tasks)
            except NotImplementedError:
                pass  # one by one, then
        return [self._create_one(task) for task in tasks]

    def _create_one(self, task: NewTask) -> Exception | None:
        try:
            self._queues.create(task)
        except (TaskExists, OutcomeUnknown, QueueRefused) as failure:
            return failure
        return None

    def _unless_there(self, entity: RejectedTask) -> Exception | None:
        """None if the task whose name is taken is recorded or pending; what to tell otherwise."""
        task = self._new_task(entity)
        record = TaskRecord.key_of(entity.handler, task.name)
        try:
            # What is in neither may have been delivered and recorded between the two looks.
            if (
                self._database.get([record])[0]
                or self._queues.get(task.name, task.queue)
                or self._database.get([record])[0]
            ):
                return None
        except (TaskFailure, OutcomeUnknown, QueueRefused) as failure:
            unknown = OutcomeUnknown(str(failure))
            unknown.__cause__ = failure.__cause__
            return unknown
        return TaskExists(task.name)

    def _new_task(self, entity: RejectedTask) -> NewTask:
        kept_type = (entity.headers or {}).get("content-type", "application/octet-stream")
        payload, content_type = entity.payload or b"", kept_type
        if entity.replacement_payload is not None:
            payload = entity.replacement_payload
            content_type = _type_of(payload)
        queues = self._queues.names
        known = entity.queue in queues or not entity.queue or entity.queue == "by-hand"
        return NewTask(
            name=entity.replacement,
            queue=naming.queue_of(entity.replacement, queues) if known else entity.queue,
            body=payload,
            path=entity.replacement_path or entity.path,
            # Not the time of this try: repeated after its record's life, it must be known for too old.
            enqueued_at_s=(entity.replaced_at or self._clock()).timestamp(),
            content_type=content_type,
        )


def parse_edit(path: str, text: str, kept_path: str, kept_payload: bytes) -> Edit | None:
    """The edit that a form describes; None if it changes nothing. Raises InvalidPayload.

    Browsers send line ends as CR LF, so that alone is no change.
    """
    own_path, kept_own_path = path.partition("?")[0], kept_path.partition("?")[0]
    if own_path != kept_own_path or len(path) > 2000 or not path.isascii() or not path.isprintable():
        raise InvalidPayload("path", path, f"{kept_own_path}, changed only after a question mark")
    if " " in path:
        raise InvalidPayload("path", path, "no spaces: write %20")
    try:
        shown = kept_payload.decode()
    except UnicodeDecodeError:
        shown = ""
    if text.replace("\r\n", "\n") != shown.replace("\r\n", "\n"):
        return Edit(path, text.encode())
    return Edit(path, kept_payload) if path != kept_path else None


def _claim(found: list[RejectedTask | None], edit: Edit | None, now: datetime) -> list[RejectedTask]:
    changed = []
    for entity in found:
        if entity is not None and entity.state == RE_ENQUEUEING:
            entity.replacement_tries = (entity.replacement_tries or 1) + 1
            changed.append(entity)
        if entity is None or entity.state not in (KEPT, DISCARDED):
            continue
        own_name = str(entity.key.id()).removesuffix(f"@{entity.handler}")
        if own_name.startswith(BY_HAND_PREFIX):
            # A task of the queue must not have a name that somebody can take by hand.
            name = naming.keyed_name("by-hand", own_name)
        else:
            name = naming.derived_name(own_name)
        entity.state = RE_ENQUEUEING
        entity.replacement_tries = 1
        entity.replaced_at = now
        entity.replacement = name if len(name) <= _LONGEST_NAME else naming.keyed_name("again", name)
        if edit is not None:
            entity.replacement_path = edit.path
            entity.replacement_payload = edit.payload if edit.payload != entity.payload else None
        changed.append(entity)
    return changed


def _finish(found: list[RejectedTask | None]) -> list[RejectedTask]:
    changed = [entity for entity in found if entity is not None and entity.state == RE_ENQUEUEING]
    for entity in changed:
        entity.state = RE_ENQUEUED
    return changed


def _was_sent(entity: RejectedTask, edit: Edit | None) -> bool:
    """Whether what was enqueued is what this call wanted, not an earlier call's edit."""
    payload = entity.payload if entity.replacement_payload is None else entity.replacement_payload
    return edit is None or edit == Edit(entity.replacement_path or entity.path, payload or b"")


def _give_back(found: list[RejectedTask | None]) -> list[RejectedTask]:
    """The queue refuses what was sent: it may be edited otherwise, under the same name, or discarded.

    Not if somebody else has tried it since: that one's task may be there.
    """
    changed = [
        entity
        for entity in found
        if entity is not None and entity.state == RE_ENQUEUEING and entity.replacement_tries == 1
    ]
    for entity in changed:
        entity.state = KEPT
        entity.replacement_path = entity.replacement_payload = None
    return changed


def _discard(found: list[RejectedTask | None]) -> list[RejectedTask]:
    changed = [entity for entity in found if entity is not None and entity.state == KEPT]
    for entity in changed:
        entity.state = DISCARDED
    return changed


_DISCARDING: dict[str | None, Done] = {
    None: Done.MISSING,
    KEPT: Done.DISCARDED,
    DISCARDED: Done.ALREADY_DISCARDED,
}


def _type_of(payload: bytes) -> str:
    """The content type of an edited payload, which may be of another kind than the original."""
    is_json = payload.lstrip().startswith((b"{", b"["))
    return "application/json" if is_json else "application/x-www-form-urlencoded"
