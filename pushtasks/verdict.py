"""Whether every task gets applied, in words: OK, degraded or failing, and which rule says so."""

from __future__ import annotations

from collections import Counter as Tallies
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pushtasks.queue_control import Listing, QueueFigures, wait_s
from pushtasks.statistics import Statistics
from pushtasks.tally import Tally

DEGRADED_WAIT_S, FAILING_WAIT_S = 60, 600
DEGRADED_FIRST_ATTEMPT, FAILING_FIRST_ATTEMPT = 0.95, 0.50
FEWEST_TASKS = 20
"""Shares of fewer tasks than this are not judged."""

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
    findings += _of_states(queues or (), retrying)
    findings += _of_waits(queues or (), retrying, now)
    for handler in statistics or ():
        findings += _of_handler(handler)
    findings.sort(key=lambda finding: list(Level).index(finding.level), reverse=True)
    if findings:
        return Verdict(findings[0].level, findings)
    if any(handler.total.applied for handler in statistics or ()):
        return Verdict(Level.OK, [Finding(Level.OK, "Every task that arrives is applied; none waits long.")])
    return Verdict(Level.OK, [Finding(Level.OK, "No task has been applied yet, and none waits long.")])


def share_warning(hour: Tally, retrying: Listing | None) -> str:
    """Why the share of first attempts looks better than things are; empty if it doesn't.

    It counts applied tasks only, and the tasks that fail during an outage are not among them.
    """
    waiting = len(retrying.tasks) if retrying is not None else 0
    share = hour.first_attempt_success
    if not waiting or (share is not None and share < DEGRADED_FIRST_ATTEMPT):
        return ""
    if hour.applied_first_attempt >= DEGRADED_FIRST_ATTEMPT * (hour.applied + waiting):
        return ""
    return f"Of applied tasks only: {_tasks(waiting, 'waits', 'wait')} to retry, and count once applied."


def _of_states(queues: Iterable[QueueFigures], listing: Listing | None) -> list[Finding]:
    """Queues that are missing or not running, grouped by state."""
    by_state: dict[str, list[QueueFigures]] = {}
    for queue in queues:
        if not queue.is_running:
            by_state.setdefault(queue.state, []).append(queue)
    findings = []
    for state, found in by_state.items():
        names = _listed([queue.name for queue in found])
        one = len(found) == 1
        if state == "missing":
            sentence = f"The queue {names} does not exist." if one else f"The queues {names} do not exist."
            findings.append(Finding(Level.FAILING, sentence, "queues"))
            continue
        not_due = listing.not_due if listing is not None else {}
        waiting = sum(max(0, queue.waiting - not_due.get(queue.name, 0)) for queue in found)
        waits = f", and {_tasks(waiting, 'waits', 'wait')} in {'it' if one else 'them'}" if waiting else ""
        sentence = (
            f"The queue {names} is {state}{waits}." if one else f"The queues {names} are {state}{waits}."
        )
        findings.append(Finding(Level.DEGRADED, sentence, "queues"))
    return findings


def _of_waits(queues: Iterable[QueueFigures], listing: Listing | None, now: datetime) -> list[Finding]:
    """Tasks that keep failing, and how long the oldest has waited: the cause first, in one finding."""
    waits = {
        queue.name: waited_s
        for queue in queues
        if queue.is_running and (waited_s := wait_s(queue, listing, now)) >= DEGRADED_WAIT_S
    }
    listed = listing.tasks if listing is not None else []
    stubborn = [task for task in listed if task.attempts >= MANY_ATTEMPTS]
    failing = {task.queue for task in stubborn}
    explained = [waited_s for name, waited_s in waits.items() if name in failing]
    others = {name: waited_s for name, waited_s in waits.items() if name not in failing}
    findings = []
    if stubborn:
        answer, count = Tallies(task.last_status for task in stubborn).most_common(1)[0]
        answered = f"with {answer}" if count == len(stubborn) else f"most with {answer}"
        failed = f"{_tasks(len(stubborn), 'has', 'have')} failed {MANY_ATTEMPTS} times or more, {answered}"
        waited = f"; the oldest task has waited {_minutes(explained)}" if explained else ""
        findings.append(Finding(_level(explained), f"{failed}{waited}.", "retrying"))
    if others:
        waited = f"has waited {_minutes(others.values())}"
        sentence = f"The oldest task {waited}; tasks wait in {len(others)} queues."
        if len(others) == 1:
            sentence = f"The oldest task in {next(iter(others))} {waited}."
        findings.append(Finding(_level(others.values()), sentence, "queues"))
    return findings


def _level(waits_s: Iterable[float]) -> Level:
    return Level.FAILING if max(waits_s, default=0.0) >= FAILING_WAIT_S else Level.DEGRADED


def _minutes(waits_s: Iterable[float]) -> str:
    return f"{int(max(waits_s) // 60)} min"


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


def _tasks(count: int, one: str, many: str) -> str:
    return f"1 task {one}" if count == 1 else f"{count:,} tasks {many}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
