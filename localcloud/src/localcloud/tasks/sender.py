"""Carries deliveries over HTTP: picks the instance, builds the request, reports the outcome."""

import asyncio
import functools
import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from localcloud.tasks.clock import MILLISECOND_US, SECOND_US, Clock, Timer
from localcloud.tasks.delivery import Delivery
from localcloud.tasks.delivery_request import app_engine_request, http_request
from localcloud.tasks.handlers import ServiceRules
from localcloud.tasks.http_client import Pool
from localcloud.tasks.http_target import authorization, destination, with_queue_target
from localcloud.tasks.messages import HTTP_METHODS, to_us
from localcloud.tasks.outcome import Outcome
from localcloud.tasks.service_routing import ServiceRouting
from localcloud.tasks.targets import (
    AUTOMATIC_SCALING_LIMIT_US,
    MANUAL_SCALING_LIMIT_US,
    Address,
    Targets,
)

# Real service: the default of an HTTP task (Task.dispatch_deadline).
HTTP_DEADLINE_US = 600 * SECOND_US


class ServiceRequest(Protocol):
    """Writes a request for the instance `host`, whose service may take `limit_ms` for an answer."""

    def __call__(self, host: str, limit_ms: int, *, fails_fast: bool) -> bytes: ...


class HttpSender:
    """Sends deliveries to the application's instances and to HTTP targets."""

    def __init__(
        self,
        targets: Targets,
        rules: Mapping[str, ServiceRules],
        services: ServiceRouting,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        randomness: random.Random,
    ) -> None:
        self._targets = targets
        self._rules = rules
        self.services = services
        self._loop = loop
        self._clock = clock
        self._random = randomness
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._tls: ssl.SSLContext | None = None

    def deadline_us(self, delivery: Delivery) -> int:
        """How long the target may take: the task's deadline, its service's limit, whichever is shorter."""
        message = delivery.message
        deadline_us = to_us(message.dispatch_deadline) if message.HasField("dispatch_deadline") else 0
        if not delivery.is_app_engine:
            return deadline_us or HTTP_DEADLINE_US
        limit_us = self.limit_us(self._service(delivery))
        return min(deadline_us, limit_us) if deadline_us else limit_us

    def send(self, delivery: Delivery, done: Callable[[Outcome], None]) -> Timer:
        """Start to send `delivery`."""
        if delivery.is_app_engine:
            return self._send_to_app_engine(delivery, done)
        return self._send_to_url(delivery, done)

    def send_to_service(
        self,
        service: str,
        uri: str,
        request: ServiceRequest,
        done: Callable[[Outcome], None],
        *,
        is_head: bool = False,
    ) -> Timer:
        """Start to send a request of the platform itself to one of the instances of `service`."""
        instances = self._targets.instances(service)
        if not instances:
            return self._loop.call_soon(
                done, Outcome(None, f"there is no target for the service {service!r}")
            )
        rules = self._rules.get(service)
        refusal = rules.refusal(uri) if rules is not None else None
        if refusal is not None:
            return self._loop.call_soon(done, refusal)
        pool = self._least_busy(instances)
        fails_fast = rules is not None and rules.is_scaled_by_hand
        limit_ms = self.limit_us(service) // MILLISECOND_US
        raw = request(f"{pool.host}:{pool.port}", limit_ms, fails_fast=fails_fast)
        return pool.send(raw, done, is_head=is_head)

    def limit_us(self, service: str) -> int:
        """How long a service may take for an answer."""
        rules = self._rules.get(service)
        by_hand = rules is not None and rules.is_scaled_by_hand
        return MANUAL_SCALING_LIMIT_US if by_hand else AUTOMATIC_SCALING_LIMIT_US

    def close(self) -> None:
        """Close all connections; nothing is reported about what is under way."""
        for pool in self._pools.values():
            pool.close()

    def _send_to_app_engine(self, delivery: Delivery, done: Callable[[Outcome], None]) -> Timer:
        request = delivery.message.app_engine_http_request
        return self.send_to_service(
            self._service(delivery),
            request.relative_uri or "/",
            functools.partial(app_engine_request, delivery, self._random),
            done,
            is_head=HTTP_METHODS[request.http_method] == "HEAD",
        )

    def _send_to_url(self, delivery: Delivery, done: Callable[[Outcome], None]) -> Timer:
        target = delivery.task.queue.config.http_target
        request = with_queue_target(delivery.message.http_request, target)
        to = destination(request.url, target)
        raw = http_request(delivery, request, to, authorization(request, request.url, self._clock.now_us()))
        is_head = HTTP_METHODS[request.http_method] == "HEAD"
        return self._pool(to.host, to.port, is_tls=to.scheme == "https").send(raw, done, is_head=is_head)

    def _least_busy(self, instances: Sequence[Address]) -> Pool:
        pools = [self._pool(address.host, address.port, is_tls=False) for address in instances]
        return pools[0] if len(pools) == 1 else min(pools, key=lambda pool: pool.in_flight)

    def _pool(self, host: str, port: int, *, is_tls: bool) -> Pool:
        key = ("https" if is_tls else "http", host, port)
        pool = self._pools.get(key)
        if pool is None:
            if is_tls and self._tls is None:
                self._tls = ssl.create_default_context()
            pool = self._pools[key] = Pool(host, port, self._tls if is_tls else None)
        return pool

    def _service(self, delivery: Delivery) -> str:
        """The service that gets the task.

        Real service: the queue's routing beats the task's (Queue.app_engine_routing_override); without either
        it is the default service.
        We differ: versions and instances are ignored, for at home there is one version of each service.
        """
        request = delivery.message.app_engine_http_request
        override = delivery.task.queue.config.routing
        wanted: str = override.service if override is not None else request.app_engine_routing.service
        return self.services.service_for(wanted, request.relative_uri or "/")
