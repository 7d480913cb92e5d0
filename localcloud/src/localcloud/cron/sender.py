"""The request that a cron job is, and its way to the application."""

from __future__ import annotations

import random
from collections.abc import Callable

from localcloud.cron.job import Job
from localcloud.tasks.clock import Timer
from localcloud.tasks.delivery_request import APP_ENGINE_USER_AGENT, platform_headers
from localcloud.tasks.outcome import Outcome
from localcloud.tasks.sender import HttpSender


class HttpJobSender:
    """Sends jobs to the application's instances, as tasks are sent.

    Real service: a GET with `X-Appengine-Cron: true` from 0.1.0.2, which satisfies `login: admin`. It runs as
    no user, so `login: required` is never satisfied, and the redirect is a failure. dispatch.yaml may send it
    to another service than `target` (cron.yaml and dispatch.yaml references).
    We differ: the headers of Cloud Scheduler (X-CloudScheduler and more) are not sent; versions are ignored.
    """

    def __init__(self, sender: HttpSender, randomness: random.Random) -> None:
        self._sender = sender
        self._random = randomness

    def service_of(self, job: Job) -> str:
        return self._sender.services.service_for(job.service, job.url)

    def send(self, job: Job, done: Callable[[Outcome], None]) -> Timer:
        def request(host: str, limit_ms: int, *, fails_fast: bool) -> bytes:  # noqa: ARG001 - a task's matter
            return (
                f"GET {job.url} HTTP/1.1\r\nHost: {host}\r\nX-Appengine-Cron: true\r\n"
                f"{platform_headers(self._random, limit_ms)}"
                f"User-Agent: {APP_ENGINE_USER_AGENT}\r\n\r\n"
            ).encode()

        return self._sender.send_to_service(self.service_of(job), job.url, request, done)

    def deadline_us(self, job: Job) -> int:
        limit_us = self._sender.limit_us(self.service_of(job))
        return min(limit_us, job.attempt_deadline_us or limit_us)
