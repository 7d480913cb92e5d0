"""What a person can do with kept tasks: enqueue them again, edited if wished, or discard them.

Enqueueing again goes in three steps, so that a double click or a crash between them makes one task only:
the record says `re-enqueueing` and under which name; the task of that name is created; the record says
`re-enqueued`. Repeating it repeats the same name.
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

from pushtasks import names
from pushtasks.creation import Creator
from pushtasks.database import Database
from pushtasks.delivery import BY_HAND_PREFIX, BY_HAND_QUEUE, Clock, Delivery, utc_now
from pushtasks.entities import DISCARDED, KEPT, RE_ENQUEUED, RE_ENQUEUEING, KeptTask, TaskRecord
from pushtasks.errors import (
    Contention,
    OutcomeUnknown,
    QueueRefused,
    Rejected,
    TaskExists,
    TaskFailure,
    in_full,
)
from pushtasks.failures import described
from pushtasks.kept_tasks import KeptTaskView, content_type_of
from pushtasks.queues import NewTask, TaskQueues
from pushtasks.task import Kinds, Task

log = logging.getLogger(__name__)

_A_TRANSACTION = 25
"""Tasks changed together: 25 payloads of 100 KB, kept twice, stay under a commit's 10 MiB."""

_TRIES = 3
_LONGEST_NAME = 500


class Done(StrEnum):
    """What happened to one kept task."""

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
class ActionSummary:
    """What happened to several kept tasks, counted."""

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


class KeptTaskActions:
    """Needs a context for each call; threads may share it."""

    def __init__(self, database: Database, queues: TaskQueues, kinds: Kinds, clock: Clock = utc_now) -> None:
        self._database = database
        self._queues = queues
        self._kinds = kinds
        self._clock = clock
        self._creator = Creator(queues)

    def enqueue_again(self, task_ids: Sequence[str], edit: Edit | None = None) -> ActionSummary:
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
        return ActionSummary(dict(+counts), problems[0] if problems else "")

    def check(self, task: KeptTaskView, edit: Edit) -> None:
        """Raises Rejected if the task's kind would reject what the edit sends. Sends nothing."""
        kind = self._kinds.get(task.handler)
        if kind is None:
            return
        path, _, query = edit.path.partition("?")
        delivery = Delivery(
            name=task.name,
            queue=task.queue,
            path=path,
            query=query,
            content_type=_type_of(edit.payload) if edit.payload != task.payload else task.content_type,
            body=edit.payload,
            headers=task.headers,
        )
        try:
            kind.parse(delivery)
        except Rejected:
            raise
        except Exception as error:
            raise Rejected("payload", described(error), "what its handler can read") from error

    def discard(self, task_ids: Sequence[str]) -> ActionSummary:
        """Take each off the list; its record stays, so that the task can't be applied later."""
        counts: Tallies[Done] = Tallies()
        for start in range(0, len(task_ids), _A_TRANSACTION):
            some = list(dict.fromkeys(task_ids[start : start + _A_TRANSACTION]))
            before: list[str | None] = []

            def change(found: list[KeptTask | None], before: list[str | None] = before) -> list[KeptTask]:
                before[:] = [entity.state if entity is not None else None for entity in found]
                return _discard(found)

            if self._transaction(some, change) is None:
                counts[Done.BUSY] += len(some)
                continue
            for state in before:
                counts[_DISCARDING.get(state, Done.ALREADY_ENQUEUED)] += 1
        return ActionSummary(dict(+counts))

    def _transaction(
        self, task_ids: Sequence[str], change: Callable[[list[KeptTask | None]], list[KeptTask]]
    ) -> list[KeptTask | None] | None:
        """The entities after the change; None if others kept changing them."""

        def run() -> list[KeptTask | None]:
            found = self._database.get(ndb.Key(KeptTask, task_id) for task_id in task_ids)
            ndb.put_multi(change(found))
            return found

        for _ in range(_TRIES):
            try:
                return self._database.transaction(run)
            except Contention:
                continue
        return None

    def _create(self, entities: Sequence[KeptTask]) -> list[tuple[KeptTask, Exception | None]]:
        created = self._creator.create([self._new_task(entity) for entity in entities])
        return [(entity, each.failure) for entity, each in zip(entities, created, strict=True)]

    def _unless_there(self, entity: KeptTask) -> Exception | None:
        """None if the task that has the name is recorded or pending; otherwise, what to say."""
        task = self._new_task(entity)
        record = TaskRecord.key_of(entity.handler, task.name)
        try:
            # If it is in neither, it may have been delivered and recorded between the two looks.
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

    def _new_task(self, entity: KeptTask) -> NewTask:
        kept_type = content_type_of(entity.headers)
        payload, content_type = entity.payload or b"", kept_type
        if entity.replacement_payload is not None:
            payload = entity.replacement_payload
            content_type = _type_of(payload)
        kind = self._kinds.get(entity.handler)
        return NewTask(
            name=entity.replacement,
            queue=self._queue_of(entity),
            body=payload,
            path=entity.replacement_path or entity.path,
            service=kind.service if kind is not None else Task.service,
            # Not the time of this try: if it is repeated after its record's life, it must count as too old.
            enqueued_at=entity.replaced_at or self._clock(),
            content_type=content_type,
        )

    def _queue_of(self, entity: KeptTask) -> str:
        """Where its new name belongs; the queue that it came from, if its kind has no such queue."""
        kind = self._kinds.get(entity.handler)
        if kind is None or (entity.queue and entity.queue not in (*kind.queues, BY_HAND_QUEUE)):
            return entity.queue  # type: ignore[no-any-return]
        return names.queue_of(entity.replacement, kind.queues)


def parse_edit(path: str, text: str, kept_path: str, kept_payload: bytes) -> Edit | None:
    """The edit that a form describes; None if it changes nothing. Raises Rejected.

    Browsers send line ends as CR LF, so that alone is not a change.
    """
    own_path, kept_own_path = path.partition("?")[0], kept_path.partition("?")[0]
    if own_path != kept_own_path or len(path) > 2000 or not path.isascii() or not path.isprintable():
        raise Rejected("path", path, f"{kept_own_path}, changed only after a question mark")
    if " " in path:
        raise Rejected("path", path, "no spaces: write %20")
    try:
        shown = kept_payload.decode()
    except UnicodeDecodeError:
        shown = ""
    if text.replace("\r\n", "\n") != shown.replace("\r\n", "\n"):
        return Edit(path, text.encode())
    return Edit(path, kept_payload) if path != kept_path else None


def _claim(found: list[KeptTask | None], edit: Edit | None, now: datetime) -> list[KeptTask]:
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
            name = names.hashed_name("by-hand", own_name)
        else:
            name = names.derived_name(own_name)
        entity.state = RE_ENQUEUEING
        entity.replacement_tries = 1
        entity.replaced_at = now
        entity.replacement = name if len(name) <= _LONGEST_NAME else names.hashed_name("again", name)
        if edit is not None:
            entity.replacement_path = edit.path
            entity.replacement_payload = edit.payload if edit.payload != entity.payload else None
        changed.append(entity)
    return changed


def _finish(found: list[KeptTask | None]) -> list[KeptTask]:
    changed = [entity for entity in found if entity is not None and entity.state == RE_ENQUEUEING]
    for entity in changed:
        entity.state = RE_ENQUEUED
    return changed


def _was_sent(entity: KeptTask, edit: Edit | None) -> bool:
    """Whether what was enqueued is what this call wanted, not an earlier call's edit."""
    payload = entity.payload if entity.replacement_payload is None else entity.replacement_payload
    return edit is None or edit == Edit(entity.replacement_path or entity.path, payload or b"")


def _give_back(found: list[KeptTask | None]) -> list[KeptTask]:
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


def _discard(found: list[KeptTask | None]) -> list[KeptTask]:
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
