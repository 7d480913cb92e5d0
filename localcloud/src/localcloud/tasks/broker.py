"""The queues of one server: finds them, creates and deletes tasks in them, keeps their dispatchers going."""

import dataclasses
import random
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
from localcloud.tasks.task import LiveTask
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
        store.on_new_tasks(lambda queue: self._dispatchers[queue.name].pump())

    def apply_file(self, location: str, configs: Mapping[str, QueueConfig]) -> None:
        """Make the queues of `location` what queue.yaml says, as an upload of it does.

        Real service: a queue that the file no longer names becomes DISABLED; the default queue is always
        there; a rate of 0 pauses, and leaves the rate alone (queue.yaml reference).

        We differ: `gcloud app deploy queue.yaml` also resumes the queues that it names, and pauses those that
        it does not, where the reference says DISABLED. Here every start applies the file, and a start must
        not resume what somebody paused.
        """
        named = {f"{location}/queues/{queue_id}": config for queue_id, config in configs.items()}
        named.setdefault(f"{location}/queues/{DEFAULT_QUEUE_ID}", DEFAULT_QUEUE)
        for queue in list(self.queues.values()):
            if queue.from_file and queue.name not in named:
                self.store.save_queue(queue, state=DISABLED)
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

    async def settled_task(self, name: str) -> LiveTask:
        """The live task of that name, once all that is known about it is on disk.

        Raises ApiError, and sqlite3.Error if the disk refuses.
        """
        queue_name, task_id = split_task(name)
        while not self.store.is_settled(self.queue(queue_name), task_id):
            await self.store.committed()
        return self.task(name)

    def task(self, name: str) -> LiveTask:
        """The live task of that name, as it is now. Raises ApiError.

        Real service: a task that succeeded or was given up is gone, and NOT_FOUND (GetTask).
        """
        queue_name, task_id = split_task(name)
        queue = self.queue(queue_name)
        task = queue.tasks.get(task_id)
        if task is None:
            if self.store.is_taken(queue, task_id):
                raise _gone()
            raise not_found(
                f"Requested entity was not found: task {task_id!r} is not, or no longer, in its queue."
            )
        return task

    def create(self, queue: Queue, message: Message) -> LiveTask:
        """Accept the new Task `message`, which keeps only what the creator may set. Raises ApiError.

        The task is there, and dispatched, once the store has committed. Until then the caller must report
        neither the task nor a refusal: a name may be taken by a task that is only about to be written.
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
        self.store.add(task)
        return task

    def delete(self, task: LiveTask) -> None:
        """Remove a task; it is gone once the store has committed. Raises ApiError if that has already begun.

        Real service: possible while it waits and while it runs (DeleteTask).
        """
        if not self.store.delete(task):
            raise _gone()

    def set_state(self, queue: Queue, state: int) -> None:
        """Pause or resume a queue. Raises sqlite3.Error, and then nothing has changed."""
        self.store.save_queue(queue, state=state)
        self._dispatchers[queue.name].reconfigure()

    def configure(self, queue: Queue, config: QueueConfig) -> None:
        """Give a queue other settings; its tasks stay. Raises sqlite3.Error, and then nothing has changed."""
        self.store.save_queue(queue, config=config)
        self._dispatchers[queue.name].reconfigure()

    def create_queue(self, name: str, config: QueueConfig, *, from_file: bool = False) -> Queue:
        """A new, running queue; the name must be free. Raises sqlite3.Error, and then makes no queue."""
        number = max((queue.number for queue in self.queues.values()), default=0) + 1
        queue = Queue(number, name, config, from_file=from_file)
        self.store.save_queue(queue)
        self._adopt(queue)
        return queue

    def delete_queue(self, queue: Queue) -> None:
        """Remove a queue and all that is in it. Raises sqlite3.Error, and then it is all there."""
        self.store.forget_queue(queue)
        self._dispatchers.pop(queue.name).stop()
        del self.queues[queue.name]
        queue.state = DISABLED
        queue.clear()

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
        state = queue.state
        if is_paused:
            state = PAUSED
        elif state == DISABLED:
            state = RUNNING
        self.store.save_queue(queue, config=config, state=state, from_file=True)
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
        if task_id in queue.tasks or self.store.is_being_added(queue, task_id):
            raise already_exists("Requested entity already exists")
        if self.store.is_taken(queue, task_id):
            # Real service: the id of a deleted or executed task is not available at once
            # (CreateTaskRequest.task).
            raise already_exists(
                "The task cannot be created because a task with this name existed too recently."
            )
        return task_id

    def _queues_beside(self, name: str) -> str:
        """What there is instead: the queues of that location, or else the locations that have some."""
        location = name.partition("/queues/")[0]
        ids = sorted(queue.id for queue in self.queues.values() if queue.name.startswith(f"{location}/"))
        if ids:
            return f"There are: {', '.join(ids)}."
        locations = sorted({queue.partition("/queues/")[0] for queue in self.queues})
        return f"There are queues in: {', '.join(locations) or 'no location'}."


def _gone() -> ApiError:
    # Real service: these words (recorded in the tests of aertje/cloud-tasks-emulator).
    return not_found(
        "The task no longer exists, though a task with this name existed recently. "
        "The task either successfully completed or was deleted."
    )
