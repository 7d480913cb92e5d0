"""Log lines that follow a task through both services: JSON for Cloud Logging, or text for people.

In JSON, `severity` and `logging.googleapis.com/trace` are the names that Cloud Logging understands
("Structured logging", Cloud Logging docs). The worker's lines have `origin_trace` besides: a search for the
trace of the request that enqueued a task finds the lines of both services.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar

from pushtasks.settings import Settings

trace: ContextVar[str] = ContextVar("trace", default="")
"""The trace of the request that is being served: X-Cloud-Trace-Context up to the first slash."""

origin: ContextVar[str] = ContextVar("origin", default="")
"""The trace of the request that enqueued the task that is being served: `TRACE_HEADER`, unchanged."""


class _JsonLines(logging.Formatter):
    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {"severity": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            line["message"] = f"{line['message']}\n{self.formatException(record.exc_info)}"
        if trace.get():
            line["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace.get()}"
        if origin.get():
            line["origin_trace"] = f"projects/{self._project}/traces/{origin.get()}"
        line.update(getattr(record, "about", {}))
        return json.dumps(line, ensure_ascii=False, default=str)


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name}={value}" for name, value in getattr(record, "about", {}).items())
        return f"{record.levelname[0]} {super().format(record)} {about}".rstrip()


def set_up(settings: Settings) -> None:
    """Send this process's log to standard output. Called once, at start."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines(settings.project) if settings.logs_json else _TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # No line shows its file, so it needn't be found for each ("Optimization", Logging HOWTO). The process
    # stays: gunicorn's own lines show it.
    logging._srcfile = None


def about(**names: object) -> dict[str, dict[str, object]]:
    """`extra=` for a log call: what the line is about, each under its own name."""
    return {"about": names}
