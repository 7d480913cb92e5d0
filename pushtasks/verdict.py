"""Whether every task gets applied, in words: OK, degraded or failing, and which rule says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pushtasks.queue_control import Listing, QueueFigures, wait_s
from pushtasks.statistics import Statistics

DEGRADED_WAIT_S, FAILING_WAIT_S = 60, 600
DEGRADED_FIRST_ATTEMPT, FAILING_FIRST_ATTEMPT = 0.95, 0.50
FEWEST_TASKS = 20
"""Shares of fewer tasks than this judge nothing."""

MANY_ATTEMPTS = 5
"""A task that failed this often is worth a look."""


class Level(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that fired, in a sentence; `about` is the part of the dashboard where it can be looked into."""

    level: Level
    sentence: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst level that any rule found, and the findings, worst first."""

    level: Level
    findings: Sequence[Finding]


def judge(
    statistics: Sequence[Statistics] | None,
    queues: Sequence[QueueFigures] | None,
    retrying: Listing | None,
    now: datetime,
) -> Verdict:
    """The verdict on what could be read; None stands for what could not."""
    findings: list[Finding] = []
    if statistics is None:
        findings.append(Finding(Level.FAILING, "Datastore does not answer: nothing can be applied or shown."))
    if queues is None:
        findings.append(Finding(Level.FAILING, "Cloud Tasks does not answer: nothing can be enqueued."))
    findings += _of_queues(queues or (), retrying, now)
    for handler in statistics or ():
        findings += _of_handler(handler)
    findings += _of_retries(retrying)
    findings.sort(key=lambda finding: list(Level).index(finding.level), reverse=True)
    if findings:
        return Verdict(findings[0].level, findings)
    if any(handler.total.applied for handler in statistics or ()):
        return Verdict(Level.OK, [Finding(Level.OK, "Every task that arrives is applied; none waits long.")])
    return Verdict(Level.OK, [Finding(Level.OK, "No task has been applied yet, and none waits long.")])


def _of_queues(queues: Iterable[QueueFigures], listing: Listing | None, now: datetime) -> list[Finding]:
    findings = []
    for queue in queues:
        waited_s = wait_s(queue, listing, now)
        if queue.state == "missing":
            findings.append(Finding(Level.FAILING, f"The queue {queue.name} does not exist.", "queues"))
        elif not queue.is_running:
            waiting = "1 task waits" if queue.waiting == 1 else f"{queue.waiting} tasks wait"
            waits = f", and {waiting} in it" if queue.waiting else ""
            findings.append(
                Finding(Level.DEGRADED, f"The queue {queue.name} is {queue.state}{waits}.", "queues")
            )
        elif waited_s >= DEGRADED_WAIT_S:
            level = Level.FAILING if waited_s >= FAILING_WAIT_S else Level.DEGRADED
            findings.append(
                Finding(
                    level, f"The oldest task in {queue.name} has waited {int(waited_s // 60)} min.", "queues"
                )
            )
    return findings


def _of_handler(statistics: Statistics) -> list[Finding]:
    hour = statistics.last_hour
    findings = []
    share = hour.first_attempt_success
    if share is not None and hour.applied >= FEWEST_TASKS and share < DEGRADED_FIRST_ATTEMPT:
        level = Level.FAILING if share < FAILING_FIRST_ATTEMPT else Level.DEGRADED
        findings.append(
            Finding(
                level,
                f"In the last hour only {int(share * 100)}% of {statistics.handler} tasks succeeded at once.",
                "attempts",
            )
        )
    for count, what in ((hour.rejected, "rejected"), (hour.gave_up, "given up after too many failures")):
        if count:
            tasks = "task was" if count == 1 else "tasks were"
            sentence = f"{count} {statistics.handler} {tasks} {what} in the last hour."
            findings.append(Finding(Level.DEGRADED, sentence, "kept"))
    return findings


def _of_retries(retrying: Listing | None) -> list[Finding]:
    stubborn = [task for task in retrying.tasks if task.attempts >= MANY_ATTEMPTS] if retrying else []
    if not stubborn:
        return []
    tasks = "task has" if len(stubborn) == 1 else "tasks have"
    return [
        Finding(Level.DEGRADED, f"{len(stubborn)} {tasks} failed {MANY_ATTEMPTS} times or more.", "retrying")
    ]
