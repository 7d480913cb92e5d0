"""Run as a program: reads queue.yaml and app.yaml files with Google's parsers and prints what is in them, as
JSON.

A process of its own, because the parsers take half a second and 40 MB that the server can do without.
Arguments: `--queues FILE`, `--app FILE`, `--dispatch FILE` and `--cron FILE`, all repeatable. Prints
`{"queues": [...], "services": [...], "dispatch": [...], "cron": [...]}`, or `{"error": "FILE, line 3: ..."}`.
"""

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

from google.appengine.api import queueinfo, validation, yaml_errors

from localcloud.configuration import ConfigurationError, load_dispatch, load_service
from localcloud.cron.cron_file import jobs_in
from localcloud.parser_warnings import no_parser_warnings
from localcloud.tasks.parser_messages import one_line

_QUEUE_KEY = re.compile(r"^\s*[\"']?queue[\"']?\s*:", re.MULTILINE)


def main(arguments: list[str]) -> dict[str, Any]:
    """Everything that the files named in `arguments` say."""
    queues: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    jobs: list[dict[str, Any]] = []
    try:
        for option, name in zip(arguments[::2], arguments[1::2], strict=True):
            match option:
                case "--queues":
                    queues += queues_in(Path(name))
                case "--dispatch":
                    rules += [dataclasses.asdict(rule) for rule in load_dispatch(Path(name))]
                case "--cron":
                    jobs += jobs_in(Path(name))
                case _:
                    services.append(service_in(Path(name)))
    except ConfigurationError as error:
        return {"error": str(error)}
    return {"queues": queues, "services": services, "dispatch": rules, "cron": jobs}


def queues_in(file: Path) -> list[dict[str, Any]]:
    """The queues of one queue.yaml, each with every key that it knows (None where absent)."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{file}: cannot read it: {reason}; expected a queue.yaml") from error
    try:
        with no_parser_warnings():
            entries = queueinfo.LoadSingleQueue(text).queue
    except (yaml_errors.Error, validation.ValidationError, queueinfo.MalformedQueueConfiguration) as error:
        raise ConfigurationError(one_line(file, error)) from error
    if entries is None and not _QUEUE_KEY.search(text):
        # The parser takes any other document for one without queues.
        raise ConfigurationError(f"{file}: the key 'queue' is missing; expected a list of queues under it")
    return [queue(file, entry) for entry in entries or ()]


def queue(file: Path, entry: Any) -> dict[str, Any]:
    """One queue's settings as plain values: times in seconds, the rate per second."""
    retry = entry.retry_parameters
    try:
        if retry is not None:
            # Called for its checks: negative limits, a minimum above the maximum.
            queueinfo.TranslateRetryParameters(retry)
        age = retry.task_age_limit if retry is not None else None
        age_seconds = None if age is None else queueinfo.ParseTaskAgeLimit(age)
        rate = None if entry.rate is None else queueinfo.ParseRate(entry.rate)
    except queueinfo.MalformedQueueConfiguration as error:
        raise ConfigurationError(f"{file}: queue {entry.name!r}: {error}") from error
    return {
        "name": entry.name,
        "mode": entry.mode or "push",
        "rate_per_second": rate,
        "bucket_size": entry.bucket_size,
        "max_concurrent_requests": entry.max_concurrent_requests,
        "target": entry.target,
        "task_retry_limit": retry.task_retry_limit if retry is not None else None,
        "task_age_limit_seconds": age_seconds,
        "min_backoff_seconds": retry.min_backoff_seconds if retry is not None else None,
        "max_backoff_seconds": retry.max_backoff_seconds if retry is not None else None,
        "max_doublings": retry.max_doublings if retry is not None else None,
    }


def service_in(file: Path) -> dict[str, Any]:
    """What a delivery must know of the service that one app.yaml describes."""
    service = load_service(file)
    return {
        "file": str(file),
        "name": service.name,
        "is_scaled_by_hand": service.first_request == "/_ah/start",
        "handlers": [
            {
                "url": handler.url,
                "kind": handler.kind.value,
                "login": handler.login.value,
                "redirects_to_login": handler.redirects_to_login,
            }
            for handler in service.routes.handlers
        ],
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1:]), sys.stdout)
