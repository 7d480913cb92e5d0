"""The queues of one server: finds them, creates and deletes tasks in them, keeps their dispatchers going."""

import asyncio
import dataclasses
import functools
import random
import sqlite3
from collections.abc import Mapping

import grpc

from localcloud.tasks.clock import Clock
from localcloud.tasks.delivery import Sender, Watcher
from localcloud.tasks.dispatcher import Dispatcher
from localcloud.tasks.errors import ApiError, already_exists, not_found
from localcloud.tasks.messages import Message
from localcloud.tasks.names import check_queue, shown, split_task
from localcloud.tasks.queue import DISABLED, PAUSED, RUNNING, Queue
from localcloud.tasks.queue_config import DEFAULT_QUEUE, DEFAULT_QUEUE_ID, QueueConfig
from localcloud.tasks.store import Store
from localcloud.tasks.task import LiveTask, State
from localcloud.tasks.validation import check_task

OUTPUT_ONLY_FIELDS = (
    "name",
    "schedule_time",
    "create_time",
    "dispatch_count",
    "response_count",
    "first_attempt",
    "last_attempt",
    "view",
)


class Broker:
    """All queues and their tasks."""

    def __init__(
        self, store: Store, clock: Clock, sender: Sender, watcher: Watcher, randomness: random.Random
    ) -> None:
        self.store = store
        self.clock = clock
        self.queues: dict[str, Queue] = {}
        self._dispatchers: dict[str, Dispatcher] = {}
        self._sender = sender
        self._watcher = watcher
        self._random = randomness
        for queue in store.queues():
            self._adopt(queue)

    def apply_file(self, location: str, configs: Mapping[str, QueueConfig]) -> None:
        """Make the queues of `location` what queue.yaml says, as an upload of it does.

        Real service: a queue that the file no longer names becomes DISABLED; the default queue is always
        there; a rate of 0 pauses, and leaves the rate alone (queue.yaml reference).

        We differ: `gcloud app deploy queue.yaml` also resumes the queues that it names, and pauses those that
        it does not, where the reference says DISABLED. Here every start applies the file, and a start shall
        not resume what somebody paused.
        """
        named = {f"{location}/queues/{queue_id}": config for queue_id, config in configs.items()}
        named.setdefault(f"{location}/queues/{DEFAULT_QUEUE_ID}", DEFAULT_QUEUE)
        for queue in list(self.queues.values()):
            if queue.from_file and queue.name not in named:
                queue.state = DISABLED
                self.store.save_queue(queue)
        for name, config in named.items():
            self._apply_entry(name, config)

    def start(self) -> None:
        """Begin to dispatch."""
        for dispatcher in self._dispatchers.values():
            dispatcher.pump()

    def stop(self) -> None:
        """Dispatch nothing more; what is under way goes on."""
        for dispatcher in self._dispatchers.values():
            dispatcher.stop()

    def queue(self, name: str) -> Queue:
        """The queue of that name. Raises ApiError."""
        queue = self.queues.get(name)
        if queue is None:
            check_queue(name)
            # Real service: NOT_FOUND with these words, which the SDK looks for.
            raise not_found(f"Queue does not exist: {shown(name)}. {self._queues_beside(name)}")
        return queue

    def dispatcher(self, queue: Queue) -> Dispatcher:
        return self._dispatchers[queue.name]

    def task(self, name: str) -> LiveTask:
        """The live task of that name. Raises ApiError.

        Real service: a task that succeeded or was given up is gone, and NOT_FOUND (GetTask).
        """
        queue_name, task_id = split_task(name)
        queue = self.queue(queue_name)
        task = queue.tasks.get(task_id)
        if task is None:
            if self.store.is_taken(queue, task_id):
                # Real service: these words (recorded in the tests of aertje/cloud-tasks-emulator).
                raise not_found(
                    "The task no longer exists, though a task with this name existed recently. "
                    "The task either successfully completed or was deleted."
                )
            raise not_found(
                f"Requested entity was not found: task {task_id!r} is not, or no longer, in its queue."
            )
        return task

    def create(self, queue: Queue, message: Message) -> LiveTask:
        """Take in the new Task `message`, which keeps only what the creator may set. Raises ApiError.

        The task is not safe, and not dispatched, before the store has committed: await `settled`.
        """
        now_us = self.clock.now_us()
        task_id = self._new_id(queue, message.name)
        eta_us = check_task(message, now_us, queue.config.retry)
        for field in OUTPUT_ONLY_FIELDS:
            message.ClearField(field)
        if message.HasField("dispatch_deadline"):
            # Real service: cut to milliseconds (Task.dispatch_deadline).
            message.dispatch_deadline.nanos -= message.dispatch_deadline.nanos % 1_000_000
        task = LiveTask(queue, self.store.next_seq(), task_id, now_us, eta_us, message.SerializeToString())
        # From here on the name is taken; the task waits for its time only once it is on disk.
        queue.tasks[task_id] = task
        self.store.add(task)
        return task

    def settled(self, queue: Queue, tasks: list[LiveTask]) -> asyncio.Future[None]:
        """Done once the new `tasks` are on disk; from then on they are dispatched, whoever waits for this."""
        committed = self.store.committed()
        committed.add_done_callback(functools.partial(self._begin, queue, tasks))
        return committed

    def delete(self, task: LiveTask) -> None:
        """Remove a task. Real service: possible while it waits and while it runs (DeleteTask)."""
        task.queue.remove(task)
        self.store.remove(task)

    def purge(self, queue: Queue) -> None:
        """Remove all tasks that are there now."""
        queue.purge_us = self.clock.now_us()
        for task in queue.clear():
            self.store.remove(task)
        self.store.save_queue(queue)

    def set_state(self, queue: Queue, state: int) -> None:
        """Pause or resume a queue."""
        queue.state = state
        self.store.save_queue(queue)
        self._dispatchers[queue.name].reconfigure()

    def configure(self, queue: Queue, config: QueueConfig) -> None:
        """Give a queue other settings; its tasks stay."""
        queue.config = config
        self.store.save_queue(queue)
        self._dispatchers[queue.name].reconfigure()

    def create_queue(self, name: str, config: QueueConfig, *, from_file: bool = False) -> Queue:
        """A new, running queue; the name must be free."""
        number = max((queue.number for queue in self.queues.values()), default=0) + 1
        queue = Queue(number, name, config, from_file=from_file)
        self.store.save_queue(queue)
        self._adopt(queue)
        return queue

    def delete_queue(self, queue: Queue) -> None:
        """Remove a queue and all that is in it."""
        self._dispatchers.pop(queue.name).stop()
        del self.queues[queue.name]
        queue.state = DISABLED
        queue.clear()
        self.store.forget_queue(queue)

    def _adopt(self, queue: Queue) -> None:
        self.queues[queue.name] = queue
        self._dispatchers[queue.name] = Dispatcher(queue, self.clock, self._sender, self.store, self._watcher)

    def _apply_entry(self, name: str, config: QueueConfig) -> None:
        queue = self.queues.get(name)
        is_paused = config.rate_per_second == 0
        if is_paused:
            old = DEFAULT_QUEUE if queue is None else queue.config
            config = dataclasses.replace(config, rate_per_second=old.rate_per_second)
        if queue is None:
            queue = self.create_queue(name, config, from_file=True)
        queue.config, queue.from_file = config, True
        if is_paused:
            queue.state = PAUSED
        elif queue.state == DISABLED:
            queue.state = RUNNING
        self.store.save_queue(queue)
        self._dispatchers[name].reconfigure()

    def _new_id(self, queue: Queue, name: str) -> str:
        if not name:
            # Real service: unnamed tasks get long decimal numbers.
            return str(self._random.randrange(10**18, 10**19))
        queue_name, task_id = split_task(name)
        if queue_name != queue.name:
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Task name {shown(name)} must start with the name of its queue, {queue.name}.",
            )
        if task_id in queue.tasks:
            raise already_exists("Requested entity already exists")
        if self.store.is_taken(queue, task_id):
            # Real service: the id of a deleted or executed task is not available at once
            # (CreateTaskRequest.task).
            raise already_exists(
                "The task cannot be created because a task with this name existed too recently."
            )
        return task_id

    def _begin(self, queue: Queue, tasks: list[LiveTask], committed: "asyncio.Future[None]") -> None:
        failed = not committed.cancelled() and isinstance(committed.exception(), sqlite3.Error)
        for task in tasks:
            if failed and task.state is not State.GONE:
                queue.remove(task)
            elif task.state is State.WAITING:
                queue.wait(task)
        dispatcher = self._dispatchers.get(queue.name)
        if dispatcher is not None:
            dispatcher.pump()

    def _queues_beside(self, name: str) -> str:
        """What there is instead: the queues of that location, or else the locations that have some."""
        location = name.partition("/queues/")[0]
        ids = sorted(queue.id for queue in self.queues.values() if queue.name.startswith(f"{location}/"))
        if ids:
            return f"There are: {', '.join(ids)}."
        locations = sorted({queue.partition("/queues/")[0] for queue in self.queues})
        return f"There are queues in: {', '.join(locations) or 'no location'}."
