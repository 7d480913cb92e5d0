"""The declaration of a kind of task. One class says everything about it, to whoever enqueues and applies it.

    class WelcomeGuest(Task[str]):
        name = "welcome-guest"
        queues = ("guests",)

        def parse(self, delivery: Delivery) -> str:
            fields = fields_of(delivery.query, delivery.content_type, delivery.body)
            return parse_guest_name(fields.get("guest"))

        def apply(self, guest: str, delivery: Delivery, work: Work) -> None:
            work.get(Guest, guest).visits += 1

Add it to the application's list of kinds, and its queue to queue.yaml. Nothing else needs to know about it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pushtasks.delivery import Delivery
from pushtasks.errors import BadDeclaration
from pushtasks.settings import Settings

if TYPE_CHECKING:
    from pushtasks.work import Ref, Work

P = TypeVar("P")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_QUEUE = re.compile(r"[A-Za-z0-9-]{1,100}")
MOST_GROUPED = 200


class Task(ABC, Generic[P]):
    """A kind of task. There is one object of each kind in a process; threads share it."""

    name: ClassVar[str]
    """Its address on the worker is /NAME, and the name is part of the keys of its records and statistics.

    Never change it once deployed: pending tasks would have no handler, and recorded ones no record.
    """

    queues: ClassVar[tuple[str, ...]]
    """Its queues in queue.yaml. A stable hash of a task's name picks one.

    Add to the end only, and only while none is pending: a name's queue is picked by its place here.
    """

    service: ClassVar[str] = "worker"
    """The App Engine service that its tasks are delivered to."""

    attempts: ClassVar[int | None] = None
    """How often a task may fail by its own fault before it is kept for a person; None: for ever."""

    most_grouped: ClassVar[int] = MOST_GROUPED
    """The most tasks that share a transaction. 1: each has its own, and may run queries in it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def parse(self, delivery: Delivery) -> P:
        """The payload, in plain values: there is no transaction yet.

        Raises Rejected if the task can never be applied: then it is kept for a person.
        """

    def reads(self, payload: P, slot: int) -> Iterable[Ref]:  # noqa: ARG002 - what an override may use
        """What `apply` will ask for, to be read together with the task's record, in one call.

        Pairs of model and id, such as [(Guest, "ada")].
        """
        return ()

    @abstractmethod
    def apply(self, payload: P, delivery: Delivery, work: Work) -> None:
        """Change what the task changes, through `work` alone. It is committed with the task's record.

        May run more than once, so it must not do what can't be undone: mail and calls to other services
        belong in a task of their own (`work.enqueue`). Raises Rejected if what is stored forbids the task
        for good (the seat is sold). Whatever else it raises makes the queue deliver the task again.
        """

    def note(self, payload: P) -> Mapping[str, object] | None:  # noqa: ARG002 - what an override may use
        """What the task's record keeps of the payload, as JSON of 16,000 bytes at most; None: nothing."""
        return None

    @property
    def path(self) -> str:
        return f"/{self.name}"


AnyTask = Task[Any]


class Kinds:
    """All kinds of task of an application, by name. Checked at start."""

    def __init__(self, declared: Sequence[type[AnyTask]], settings: Settings) -> None:
        """Raises BadDeclaration with a sentence that says what to change."""
        self._by_name: dict[str, AnyTask] = {}
        for kind in declared:
            _check(kind)
            if kind.name in self._by_name:
                other = type(self._by_name[kind.name]).__name__
                raise BadDeclaration(
                    f"{kind.__name__}.name is {kind.name!r}, which is {other}'s. Expected another name."
                )
            self._by_name[kind.name] = kind(settings)

    def __iter__(self) -> Iterator[AnyTask]:
        return iter(self._by_name.values())

    def get(self, name: str) -> AnyTask | None:
        return self._by_name.get(name)

    def of(self, kind: type[AnyTask]) -> AnyTask:
        """The object of a kind. Raises BadDeclaration if it isn't in the application's list."""
        found = self._by_name.get(kind.name)
        if found is None or type(found) is not kind:
            raise BadDeclaration(f"{kind.__name__} is not in the application's list of kinds. Add it there.")
        return found

    @property
    def queues(self) -> tuple[str, ...]:
        """Every kind's queues, each once, in the order of the declarations."""
        return tuple(dict.fromkeys(queue for kind in self._by_name.values() for queue in kind.queues))


def _check(kind: type[AnyTask]) -> None:
    def bad(attribute: str, value: object, expected: str) -> BadDeclaration:
        return BadDeclaration(f"{kind.__name__}.{attribute} is {value!r}. Expected {expected}.")

    name, queues = getattr(kind, "name", None), getattr(kind, "queues", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad("name", name, "1 to 64 of lower-case letters, digits and '-', such as 'send-receipt'")
    if (
        not isinstance(queues, tuple)
        or not queues
        or len(set(queues)) != len(queues)
        or not all(isinstance(queue, str) and _QUEUE.fullmatch(queue) for queue in queues)
    ):
        raise bad("queues", queues, "a tuple of one or more different queue names of queue.yaml")
    if kind.attempts is not None and (not isinstance(kind.attempts, int) or not 1 <= kind.attempts <= 1000):
        raise bad("attempts", kind.attempts, "a number from 1 to 1000, or None to try for ever")
    if not isinstance(kind.most_grouped, int) or not 1 <= kind.most_grouped <= MOST_GROUPED:
        raise bad("most_grouped", kind.most_grouped, f"a number from 1 to {MOST_GROUPED}")
    options = {"name", "queues", "service", "attempts", "most_grouped"}
    for attribute, value in vars(kind).items():
        looks_like_an_option = not attribute.startswith("_") and isinstance(value, str | int | float | tuple)
        if looks_like_an_option and attribute not in options and attribute.islower():
            raise BadDeclaration(
                f"{kind.__name__}.{attribute} is not an option of a task. Expected one of "
                f"{', '.join(sorted(options))}; write a constant of your own in capitals."
            )
