"""The HTTP port: the API over HTTP/1.1, and what tests and people ask for that the real API does not have."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from localcloud.cron.scheduler import Scheduler
from localcloud.http_guard import FORBIDDEN, Body, HttpGuard
from localcloud.tasks.attempts import AttemptHistory
from localcloud.tasks.broker import Broker
from localcloud.tasks.counts import Counts
from localcloud.tasks.faults import FaultySender, fault_plan
from localcloud.tasks.given_up import GivenUpTasks
from localcloud.tasks.http_api import HttpApi
from localcloud.tasks.idle import wait_idle
from localcloud.tasks.redelivery import Redelivery

DEFAULT_IDLE_SECONDS = 30.0
MAX_IDLE_SECONDS = 3600.0
MOST_ATTEMPTS = 100

# A batch of a hundred tasks of 1 MiB is above any default.
MAX_MESSAGE_BYTES = 192 * 1024 * 1024


class SidePort:
    """GET / (alive), GET /counts, /idle, /attempts, /given-up, POST /redeliver, /faults to read, set and
    remove, GET /cron, POST /cron/run?job=ID; and the API.
    """

    def __init__(
        self,
        broker: Broker,
        counts: Counts,
        faults: FaultySender,
        redelivery: Redelivery,
        cron: Scheduler,
        given_up: GivenUpTasks,
        attempts: AttemptHistory,
        api: HttpApi,
    ) -> None:
        self._broker = broker
        self._counts = counts
        self._faults = faults
        self._redelivery = redelivery
        self._attempts = attempts
        self._guard = HttpGuard("", 0)
        self._cron = cron
        self._given_up = given_up
        self._api = api
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError if it is taken."""
        self._guard = HttpGuard(host, port)
        application = web.Application(middlewares=[self._guarded], client_max_size=MAX_MESSAGE_BYTES)
        application.add_routes(
            [
                web.get("/", self.alive),
                web.get("/counts", self.counts),
                web.get("/idle", self.idle),
                web.get("/attempts", self.attempts),
                web.post("/redeliver", self.redeliver),
                web.get("/faults", self.faults),
                web.post("/faults", self.set_faults),
                web.delete("/faults", self.remove_faults),
                web.get("/given-up", self.given_up),
                web.get("/cron", self.cron),
                web.post("/cron/run", self.run_job),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self._guard.port = self._runner.addresses[0][1]
        return self._guard.port

    async def stop(self) -> None:
        """Stop listening; requests under way are cut off after half a second."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        is_call = self._api.is_call(request.path)
        has_json = is_call or (request.path == "/faults" and request.method == "POST")
        body = Body.API if has_json and request.can_read_body else Body.ANY
        refusal = self._guard.refusal(request.method, request.headers.get, body)
        if refusal is not None:
            return web.Response(status=FORBIDDEN, text=f"{refusal}\n")
        return await (self._api.answer(request) if is_call else handler(request))

    async def alive(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok\n")

    async def counts(self, _: web.Request) -> web.Response:
        return web.json_response(self._counts.as_json())

    async def idle(self, request: web.Request) -> web.Response:
        """200 once nothing is pending or under way, 408 if that takes longer than `timeout` seconds."""
        text = request.query.get("timeout", str(DEFAULT_IDLE_SECONDS))
        try:
            timeout_seconds = float(text)
        except ValueError:
            timeout_seconds = -1.0
        if not 0 <= timeout_seconds <= MAX_IDLE_SECONDS:
            return _bad(f"timeout is {text!r}. Expected seconds, 0 to {MAX_IDLE_SECONDS:g}.")
        queue_id = request.query.get("queue")
        if queue_id is not None and all(queue.id != queue_id for queue in self._broker.queues.values()):
            return web.Response(status=404, text=f"There is no queue {queue_id!r}.\n")
        if await wait_idle(self._broker, self._faults, timeout_seconds, queue_id):
            return web.Response(text="idle\n")
        return web.Response(status=408, text=f"Not idle after {timeout_seconds:g} s.\n")

    async def attempts(self, request: web.Request) -> web.Response:
        """The last attempts, newest first: of `queue`, of `task` (short names); `failed` ones only."""
        query = request.query
        found = self._attempts.latest(
            query.get("queue"), query.get("task"), only_failed=query.get("failed") == "1"
        )
        return web.json_response([each._asdict() for each in itertools.islice(found, MOST_ATTEMPTS)])

    async def redeliver(self, request: web.Request) -> web.Response:
        """Deliver a finished task again: `task` by its short name, else the one that finished last."""
        task_id, queue_id = request.query.get("task"), request.query.get("queue")
        redelivered = self._redelivery.start(task_id, queue_id)
        if redelivered is None:
            return web.Response(status=404, text=f"No finished task {task_id or ''!r} is remembered.\n")
        delivery, ended = redelivered
        outcome = await asyncio.shield(ended)
        answer = {"task": delivery.task.name, "status": outcome.status, "reason": outcome.reason}
        return web.json_response(answer)

    async def faults(self, _: web.Request) -> web.Response:
        plan = self._faults.plan
        return web.json_response(None if plan is None else plan.as_json())

    async def set_faults(self, request: web.Request) -> web.Response:
        try:
            plan = fault_plan(json.loads(await request.text()))
        except ValueError as error:
            return _bad(f"Not a plan of faults: {error}.")
        self._faults.plan = plan
        return web.json_response(plan.as_json())

    async def remove_faults(self, _: web.Request) -> web.Response:
        self._faults.plan = None
        return web.json_response(None)

    async def given_up(self, _: web.Request) -> web.Response:
        """The last tasks that were given up, and how many there were since the start."""
        return web.json_response(self._given_up.as_json())

    async def cron(self, _: web.Request) -> web.Response:
        """The jobs of cron.yaml, each with its last and its next run."""
        return web.json_response({"jobs": self._cron.as_json()})

    async def run_job(self, request: web.Request) -> web.Response:
        """Start a run of the job `job` (its id from GET /cron), and answer with the job as it then is.

        404: no such job; 409: a run is under way.
        """
        text = request.query.get("job", "")
        try:
            number = int(text)
            started = self._cron.run_now(number)
        except (ValueError, IndexError):
            return web.Response(status=404, text=f"There is no cron job {text!r}.\n")
        if not started:
            return web.Response(status=409, text=f"The cron job {number} is running.\n")
        return web.json_response(self._cron.as_json()[number])


def _bad(message: str) -> web.Response:
    return web.Response(status=400, text=f"{message}\n")
