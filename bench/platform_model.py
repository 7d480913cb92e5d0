"""A model of what the counter service runs on: Cloud Tasks, instances, Datastore. All in virtual time.

What is assumed, and on what grounds:
- A queue dispatches at most 500 tasks a second (documented quota), and no more than its
  `max_concurrent_requests` at a time. What fails is tried again after 0.5 s, 1 s, 2 s ... (queue.yaml).
- An instance serves as many tasks at a time as its gunicorn has threads. It is one process, so what it
  computes for an increment it computes one after the other (assumed: 2.5 ms, some two and a half times what
  was measured on a 2 GHz core, for an F2 is slow).
- A transaction takes 20 to 60 ms, evenly spread, whatever it changes (assumed; the range is what people
  report of one region), and 0.1 ms for each record in it (assumed).
- A transaction locks the entities that it reads and writes; others wait for their turn (pessimistic
  concurrency, the default of new databases). Records are never shared, so only shards and statistics count.
- An entity can take a certain rate of writes. Google's planning figure is one a second; bursts above it work.
  Here: a bucket of ten writes, refilled at the sustained rate; a write that finds it empty is ABORTED, after
  having taken its time. Real Datastore is kinder: it slows down and aborts some. So this is a worst case.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.virtual import World
from pushtasks.delivery import Outcome
from pushtasks.errors import Contention, TaskFailure
from pushtasks.group import GroupCommitter
from pushtasks.slots import Slot

_QUEUE_RATE_PER_S = 500.0
_TICK_S = 0.002
_BURST_WRITES = 10.0
_TRANSACTION_S = (0.020, 0.060)
_RECORD_S = 0.0001
_CPU_S = 0.0025
_MIN_BACKOFF_S, _MOST_DOUBLINGS = 0.5, 10


@dataclass(frozen=True)
class Scale:
    """The settings: how many of everything, and the load."""

    demand_per_s: float
    instances: int
    shards: int = 4
    slots: int = 8
    queues: int = 4
    threads: int = 80
    group_size: int = 64
    concurrent_per_queue: int = 1000
    writes_per_entity_s: float = 1.0
    """The sustained rate of writes that an entity can take."""


@dataclass(slots=True)
class Task:
    """An increment on its way, all of one hot counter."""

    queue: int
    enqueued_s: float
    failures: int = 0


@dataclass
class Books:
    """What happened, from when on it is counted."""

    since_s: float = 0.0
    aborted: int = 0
    committed: int = 0
    applied: int = 0
    failed_deliveries: int = 0
    latencies_s: list[float] = field(default_factory=list)


class Entity:
    """Something that transactions write: locked by one at a time, and tired by too many."""

    def __init__(self, world: World, sustained_per_s: float) -> None:
        self._world = world
        self._sustained = sustained_per_s
        self._writes = _BURST_WRITES
        self._refilled_s = world.now_s
        self.lock = world.lock()

    def bears_a_write(self) -> bool:
        now_s = self._world.now_s
        self._writes = min(_BURST_WRITES, self._writes + (now_s - self._refilled_s) * self._sustained)
        self._refilled_s = now_s
        if self._writes < 1:
            return False
        self._writes -= 1
        return True


class Datastore:
    """Applies groups of tasks, or aborts them."""

    def __init__(self, world: World, scale: Scale, randomness: random.Random, books: Books) -> None:
        self._world = world
        self._random = randomness
        self._books = books
        self._shards = [Entity(world, scale.writes_per_entity_s) for _ in range(scale.shards)]
        self._statistics = [Entity(world, scale.writes_per_entity_s) for _ in range(scale.slots)]

    def apply(self, slot: int, tasks: Sequence[Task]) -> list[Outcome]:
        """One transaction, from its begin to the end of its commit. Raises Contention."""
        entities = (self._shards[slot % len(self._shards)], self._statistics[slot])
        for entity in entities:
            entity.lock.acquire()
        try:
            self._world.sleep(self._random.uniform(*_TRANSACTION_S) + len(tasks) * _RECORD_S)
            borne = [entity.bears_a_write() for entity in entities]
            if not all(borne):
                self._books.aborted += 1
                raise Contention("an entity is written more often than it bears")
        finally:
            for entity in entities:
                entity.lock.release()
        self._books.committed += 1
        return [Outcome.APPLIED] * len(tasks)


class Instance:
    """A worker process: threads, one processor, and the application's own GroupCommitter."""

    def __init__(self, world: World, scale: Scale, datastore: Datastore, randomness: random.Random) -> None:
        self.in_flight = 0
        self._world = world
        self._datastore = datastore
        self._processor = world.lock()
        self._slot = Slot(scale.slots, randomness)
        self._committer: GroupCommitter[Task, Outcome] = GroupCommitter(
            self._apply, self._slot, scale.group_size, randomness, world.sleep, lambda: world.now_s
        )

    def serve(self, task: Task) -> None:
        """Called in a thread of its own. Raises TaskFailure."""
        self._committer.commit(task)

    def _apply(self, deliveries: Sequence[Task], /, *, records_first: bool = False) -> list[Outcome]:  # noqa: ARG002
        with self._processor:
            self._world.sleep(len(deliveries) * _CPU_S)
        return self._datastore.apply(self._slot.number, deliveries)


class Queues:
    """Takes in the demand, evenly over the queues, and delivers until each task is applied."""

    def __init__(
        self,
        world: World,
        scale: Scale,
        instances: Sequence[Instance],
        randomness: random.Random,
        books: Books,
    ) -> None:
        self._world = world
        self._scale = scale
        self._instances = instances
        self._random = randomness
        self._books = books
        self._waiting: list[deque[Task]] = [deque() for _ in range(scale.queues)]
        self._in_flight = [0] * scale.queues
        self._tokens = [0.0] * scale.queues
        self._arriving = 0.0

    @property
    def backlog(self) -> int:
        return sum(map(len, self._waiting))

    def tick(self) -> None:
        """What happens in two milliseconds: some increments arrive, some tasks are dispatched."""
        self._arriving += self._scale.demand_per_s * _TICK_S
        while self._arriving >= 1:
            self._arriving -= 1
            queue = self._random.randrange(self._scale.queues)
            self._waiting[queue].append(Task(queue, self._world.now_s))
        for queue, waiting in enumerate(self._waiting):
            self._tokens[queue] = min(100.0, self._tokens[queue] + _QUEUE_RATE_PER_S * _TICK_S)
            while (
                waiting
                and self._tokens[queue] >= 1
                and self._in_flight[queue] < self._scale.concurrent_per_queue
            ):
                instance = self._free_instance()
                if instance is None:
                    break
                self._tokens[queue] -= 1
                self._dispatch(waiting.popleft(), instance)
        self._world.at(self._world.now_s + _TICK_S, self.tick)

    def _free_instance(self) -> Instance | None:
        """The less busy one of two, as a front end that can't look at all of them does."""
        one, other = self._random.choice(self._instances), self._random.choice(self._instances)
        best = min(one, other, key=lambda instance: instance.in_flight)
        return best if best.in_flight < self._scale.threads else None

    def _dispatch(self, task: Task, instance: Instance) -> None:
        self._in_flight[task.queue] += 1
        instance.in_flight += 1
        self._world.start(lambda: self._deliver(task, instance))

    def _deliver(self, task: Task, instance: Instance) -> None:
        try:
            instance.serve(task)
        except TaskFailure:
            self._books.failed_deliveries += 1
            backoff_s = _MIN_BACKOFF_S * 2 ** min(task.failures, _MOST_DOUBLINGS)
            task.failures += 1
            self._world.at(self._world.now_s + backoff_s, lambda: self._waiting[task.queue].append(task))
        else:
            self._books.applied += 1
            self._books.latencies_s.append(self._world.now_s - task.enqueued_s)
        finally:
            self._in_flight[task.queue] -= 1
            instance.in_flight -= 1
