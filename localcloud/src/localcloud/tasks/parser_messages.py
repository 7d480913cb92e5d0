"""What Google's YAML parser says about a queue.yaml or cron.yaml, as one line: file, line, key, what was
expected.
"""

import re
from pathlib import Path

_MARK = re.compile(r'\s+in "<[^"]*>", line (\d+), column \d+:.*', re.DOTALL)
_UNASSIGNABLE = re.compile(r"Unable to assign value '?(.*?)'? to attribute '([^']+)':.*", re.DOTALL)
_UNKNOWN = re.compile(r"Unexpected attribute '([^']*)' for object of type (\w+)\.?")
_EXPECTED = {
    "name": "1 to 100 letters, digits and hyphens",
    "rate": "a number and a unit, for instance 5/s, 20/m, 1/h, 10/d; or 0",
    "mode": "push",
    "bucket_size": "a whole number from 1 to 500",
    "max_concurrent_requests": "a whole number from 1 to 5000",
    "target": "a service, or version.service",
    "task_retry_limit": "a whole number, 0 or more",
    "task_age_limit": "a number and a unit, for instance 2d",
    "min_backoff_seconds": "a number of seconds",
    "max_backoff_seconds": "a number of seconds",
    "max_doublings": "a whole number, 0 or more",
    "total_storage_limit": "a number and a unit, for instance 120M",
    "url": "a path that begins with /",
    "timezone": "the name of a time zone, for instance Europe/Berlin",
    "job_retry_limit": "a whole number from 0 to 5",
    "job_age_limit": "a number and a unit, for instance 2h",
    "attempt_deadline": "a number of seconds, for instance 600s",
}
# The parser has no words for a mapping where a list belongs.
_NO_WORDS = "a value of the wrong kind; expected a list of queues under 'queue', of jobs under 'cron'"
_KEYS_OF = {
    "QueueEntry": "name, rate, bucket_size, max_concurrent_requests, target, mode, retry_parameters, acl",
    "RetryParameters": (
        "task_retry_limit and task_age_limit (in cron.yaml job_retry_limit and job_age_limit), "
        "min_backoff_seconds, max_backoff_seconds, max_doublings"
    ),
    "CronEntry": "url, schedule, timezone, description, target, retry_parameters, attempt_deadline",
    "CronInfoExternal": "cron",
    "QueueInfoExternal": "queue, total_storage_limit, resume_paused_queues, application",
}


def one_line(file: Path, error: Exception) -> str:
    """The parser's complaint about `file` in one line."""
    not_yaml = getattr(error, "cause", None)
    problem_mark = getattr(not_yaml, "problem_mark", None)
    if problem_mark is not None:
        # The text begins with what was being parsed, and where that began: seldom where the mistake is.
        return f"{file}, line {problem_mark.line + 1}: not YAML: {getattr(not_yaml, 'problem', '')}"
    text = str(error)
    mark = _MARK.search(text)
    place = f"{file}, line {mark[1]}" if mark else str(file)
    problem = " ".join(_MARK.sub("", text).split())
    unassignable = _UNASSIGNABLE.search(problem)
    if unassignable:
        value, key = unassignable.groups()
        return (
            f"{place}, key {key!r}: {value!r} is not possible; expected {_EXPECTED.get(key, 'another value')}"
        )
    unknown = _UNKNOWN.search(problem)
    if unknown:
        key, kind = unknown.groups()
        return f"{place}, key {key!r}: there is no such key; expected one of {_KEYS_OF.get(kind, 'others')}"
    return f"{place}: {problem or _NO_WORDS}"
