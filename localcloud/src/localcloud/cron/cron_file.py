"""Reads a cron.yaml with Google's own parser, in the short-lived process that reads the other files, too."""

from __future__ import annotations

import re
from datetime import UTC
from pathlib import Path
from typing import Any

from google.appengine.api import croninfo, validation, yaml_errors

from localcloud.configuration import ConfigurationError
from localcloud.cron.schedule_parser import parse_schedule
from localcloud.parser_warnings import no_parser_warnings
from localcloud.tasks.parser_messages import one_line

_CRON_KEY = re.compile(r"^\s*[\"']?cron[\"']?\s*:", re.MULTILINE)


def jobs_in(file: Path) -> list[dict[str, Any]]:
    """The jobs of one cron.yaml, each with every key that it knows (None where absent); times in seconds.

    Raises ConfigurationError.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{file}: cannot read it: {reason}; expected a cron.yaml") from error
    try:
        with no_parser_warnings():
            entries = croninfo.LoadSingleCron(text).cron
    except (yaml_errors.Error, validation.ValidationError, croninfo.MalformedCronfigurationFile) as error:
        raise ConfigurationError(one_line(file, error)) from error
    if entries is None and not _CRON_KEY.search(text):
        # The parser takes any other document for one without jobs.
        raise ConfigurationError(f"{file}: the key 'cron' is missing; expected a list of jobs under it")
    return [_job(file, text, entry) for entry in entries or ()]


def _job(file: Path, text: str, entry: Any) -> dict[str, Any]:
    # The parser's own time zones: it takes any spelling of a name, zoneinfo only the right one.
    timezone: str = croninfo.pytz.timezone(entry.timezone or "UTC").zone
    try:
        parse_schedule(entry.schedule, UTC)
    except ValueError as error:
        lines = enumerate(text.splitlines(), 1)
        line = next((number for number, content in lines if entry.schedule in content), 1)
        raise ConfigurationError(f"{file}, line {line}, key 'schedule': {error}") from error
    deadline = entry.attempt_deadline
    return {
        "url": entry.url,
        "schedule": entry.schedule,
        "timezone": timezone,
        "description": entry.description,
        "target": entry.target,
        "retry": None if entry.retry_parameters is None else _retry(entry.retry_parameters),
        "attempt_deadline_seconds": None if deadline is None else deadline.total_seconds(),
    }


def _retry(parameters: Any) -> dict[str, Any]:
    age = parameters.job_age_limit
    return {
        "job_retry_limit": parameters.job_retry_limit,
        "job_age_limit_seconds": None if age is None else age.total_seconds(),
        "min_backoff_seconds": parameters.min_backoff_seconds,
        "max_backoff_seconds": parameters.max_backoff_seconds,
        "max_doublings": parameters.max_doublings,
    }
