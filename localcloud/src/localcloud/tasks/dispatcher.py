"""A queue's dispatcher: when a task is attempted, and what follows from how the attempt ended.

It knows neither sockets nor files nor the system's clock: it is given the time, hands an attempt to a Sender
and a change to a Journal. So what it does can be tested to the microsecond.
"""

from localcloud.tasks.clock import SECOND_US, Clock, Timer
from localcloud.tasks.congestion import Congestion
from localcloud.tasks.delivery import Delivery, Journal, Sender, Watcher
from localcloud.tasks.outcome import DEADLINE_REASON, Outcome
from localcloud.tasks.queue import RUNNING, Queue
from localcloud.tasks.queue_messages import task_retry_policy
from localcloud.tasks.rate import TokenBucket
from localcloud.tasks.task import Attempts, LiveTask, State

# After this many dispatches in a row a queue gives the others a turn.
DISPATCHES_PER_TURN = 16


class Dispatcher:
    """Dispatches the tasks of one queue."""

    def __init__(
        self, queue: Queue, clock: Clock, sender: Sender, journal: Journal, watcher: Watcher
    ) -> None:
        self.queue = queue
        self._clock = clock
        self._sender = sender
        self._journal = journal
        self._watcher = watcher
        now_us = clock.now_us()
        self._congestion = Congestion(now_us)
        self._bucket = TokenBucket(queue.config.rate_per_second, queue.config.burst, now_us)
        self._timer: Timer | None = None
        self._timer_us = 0
        self._is_stopped = False

    @property
    def effective_rate_per_second(self) -> float:
        """The rate that congestion control leaves of the configured one."""
        return self._bucket.rate_per_second

    def reconfigure(self) -> None:
        """The queue's settings or its state have changed."""
        self._set_pace(self._clock.now_us())
        self.pump()

    def stop(self) -> None:
        """Dispatch nothing more, ever."""
        self._is_stopped = True
        self._cancel_timer()

    def pump(self) -> None:
        """Dispatch what may be dispatched now, and make sure that this goes on when it can.

        To be called whenever that may have changed: a task was added, an attempt ended, the queue was
        resumed.
        """
        queue = self.queue
        if queue.state != RUNNING or self._is_stopped:
            self._cancel_timer()
            return
        now_us = self._clock.now_us()
        for _ in range(DISPATCHES_PER_TURN):
            if queue.in_flight >= queue.config.max_concurrent:
                return
            task = queue.next_task()
            if task is None:
                return
            if task.eta_us > now_us:
                self._pump_at(task.eta_us)
                return
            if now_us - task.create_us >= queue.config.task_ttl_us:
                self._expire(task)
                continue
            if not self._bucket.take(now_us):
                next_us = self._bucket.next_us(now_us)
                if next_us is not None:
                    self._pump_at(next_us)
                return
            queue.pop()
            self._dispatch(task, now_us)
        self._pump_at(now_us)

    def run(self, task: LiveTask) -> None:
        """Attempt the task now, whatever rate, concurrency, state and time say.

        Real service: RunTask does so even if the task is already running; after a failure the task's time is
        that of the call plus the delay of the retry (RunTask).
        """
        now_us = self._clock.now_us()
        self._dispatch(task, now_us).base_us = now_us

    def _dispatch(self, task: LiveTask, now_us: int) -> Delivery:
        delivery = Delivery(task)
        attempts = task.attempts
        if attempts is None:
            attempts = task.attempts = Attempts()
            attempts.first_dispatch_us = now_us
        attempts.dispatch_count += 1
        attempts.running += 1
        attempts.last_schedule_us = task.eta_us
        attempts.last_dispatch_us = now_us
        attempts.last_response_us = 0
        task.state = State.RUNNING
        self.queue.in_flight += 1
        delivery.request = self._sender.send(delivery, lambda outcome: self._end(delivery, outcome))
        deadline_us = now_us + self._sender.deadline_us(delivery)
        delivery.deadline = self._clock.call_at(deadline_us, self._pass_deadline, delivery)
        return delivery

    def _pass_deadline(self, delivery: Delivery) -> None:
        # Real service: it stops listening, and the attempt is a DEADLINE_EXCEEDED failure; what the handler
        # does with that is its own affair (Task.dispatch_deadline).
        if delivery.request is not None:
            delivery.request.cancel()
        self._end(delivery, Outcome(None, DEADLINE_REASON))

    def _end(self, delivery: Delivery, outcome: Outcome) -> None:
        if delivery.ended:
            return
        delivery.ended = True
        if delivery.deadline is not None:
            delivery.deadline.cancel()
        # Both lead back to the delivery: a cycle would keep its request in memory until the garbage collector
        # finds it.
        delivery.deadline = delivery.request = None
        now_us = self._clock.now_us()
        task, queue = delivery.task, self.queue
        queue.in_flight -= 1
        queue.note_executed(now_us)
        self._note(task, outcome, now_us)
        self._watch_congestion(delivery, outcome, now_us)
        if outcome.is_success:
            self._succeed(delivery, outcome)
        else:
            self._fail(delivery, outcome, now_us)
        self.pump()

    def _note(self, task: LiveTask, outcome: Outcome, now_us: int) -> None:
        attempts = task.attempts
        assert attempts is not None
        attempts.running -= 1
        attempts.last_outcome = outcome
        attempts.last_response_us = now_us
        if outcome.status is not None:
            attempts.response_count += 1
            attempts.executed_count += outcome.status // 100 != 5

    def _succeed(self, delivery: Delivery, outcome: Outcome) -> None:
        task = delivery.task
        if task.state is not State.GONE:
            self.queue.remove(task)
            self._journal.remove(task)
        self._watcher.succeeded(delivery, outcome)

    def _fail(self, delivery: Delivery, outcome: Outcome, now_us: int) -> None:
        task, attempts = delivery.task, delivery.task.attempts
        assert attempts is not None
        # Run by hand while already running, a task has several attempts at once: the last to end decides.
        if task.state is State.GONE or attempts.running:
            self._watcher.failed(delivery, outcome, now_us)
            return
        policy = task_retry_policy(delivery.message, self.queue.config.retry)
        if not policy.may_retry(attempts.dispatch_count, now_us - attempts.first_dispatch_us):
            # Real service: the task is deleted, without any dead-letter queue; its name stays taken.
            self.queue.remove(task)
            self._journal.remove(task)
            self._watcher.gave_up(delivery, outcome)
            return
        base_us = now_us if delivery.base_us is None else delivery.base_us
        eta_us = base_us + policy.backoff_us(attempts.dispatch_count)
        if outcome.retry_after_seconds is not None and not delivery.is_app_engine:
            # Real service: Retry-After is considered, for HTTP targets (HttpRequest).
            eta_us = max(eta_us, now_us + round(outcome.retry_after_seconds * SECOND_US))
        # Whatever a queue or a target asks for: the task is kept no longer than that.
        task.eta_us = min(eta_us, task.create_us + self.queue.config.task_ttl_us)
        self.queue.wait(task)
        self._journal.update(task)
        self._watcher.failed(delivery, outcome, now_us)

    def _expire(self, task: LiveTask) -> None:
        self.queue.pop()
        self.queue.remove(task)
        self._journal.remove(task)
        self._watcher.expired(task)

    def _watch_congestion(self, delivery: Delivery, outcome: Outcome, now_us: int) -> None:
        # Real service: 503 slows the queue down; 429 does so for HTTP targets only (AppEngineHttpRequest).
        overloaded = outcome.status == 503 or (outcome.status == 429 and not delivery.is_app_engine)
        changed = self._congestion.record(
            now_us,
            success=outcome.is_success,
            overloaded=overloaded,
            rate_per_second=self.queue.config.rate_per_second,
        )
        if changed:
            self._set_pace(now_us)
            self._watcher.changed_pace(self._bucket.rate_per_second, delivery.task)

    def _set_pace(self, now_us: int) -> None:
        config = self.queue.config
        rate = self._congestion.rate(config.rate_per_second)
        self._bucket.change(rate, config.burst * self._congestion.factor, now_us)
        # What was planned was planned for the old rate.
        self._cancel_timer()

    def _pump_at(self, when_us: int) -> None:
        if self._timer is not None:
            if self._timer_us <= when_us:
                return
            self._timer.cancel()
        self._timer_us = when_us
        self._timer = self._clock.call_at(when_us, self._pump_again)

    def _pump_again(self) -> None:
        self._timer = None
        self.pump()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
