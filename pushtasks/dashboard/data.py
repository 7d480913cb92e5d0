"""Histories, single tasks and what fails, as JSON; and the sample that a cron job takes."""

from __future__ import annotations

from pushtasks import retry_groups, statistics, timeline
from pushtasks.dashboard.exports import iso, tally_as_json
from pushtasks.dashboard.handler import AdminReadHandler
from pushtasks.errors import Rejected
from pushtasks.names import parse_handler_name, parse_task_name
from pushtasks.retry_groups import RetryFilter
from pushtasks.ring import SPANS
from pushtasks.statistics import History
from pushtasks.web.problems import Problem


class HistoryHandler(AdminReadHandler):
    """GET /admin/history.json?span=hour|day|week|year: every figure, by kind and over all."""

    def get(self) -> None:
        name = self.query("span", "hour")
        span = SPANS.get(name)
        if span is None:
            raise Rejected("span", name, "one of " + ", ".join(SPANS))
        database = self.service.database
        histories = statistics.read_history(database, span, self.service.clock())
        overviews = self.service.overviews
        self.json(
            {
                "span": name,
                "period_s": span.scale.period_s,
                "over_all": _periods(statistics.over_all(histories, span)),
                "handlers": {each.handler: _periods(each) for each in histories},
                "marks": [
                    {"at": iso(mark.at), "kind": mark.kind, "label": mark.label} for mark in overviews.marks()
                ],
            }
        )


class BacklogHandler(AdminReadHandler):
    """GET /admin/backlog.json: how many tasks each queue held over the last hours, as it was sampled."""

    def get(self) -> None:
        backlog = self.service.overviews.sample()
        self.json(
            {
                queue: [
                    {"at": iso(each.at), "waiting": each.waiting, "oldest_wait_s": each.oldest_wait_s}
                    for each in samples
                ]
                for queue, samples in backlog.items()
            }
        )


class SampleHandler(AdminReadHandler):
    """GET /admin/sample: what cron.yaml requests each minute, so that the backlog is sampled all the time."""

    def _let_in(self) -> None:
        # App Engine removes this header from requests that come from outside.
        if self.service.settings.on_app_engine and self.headers.get("x-appengine-cron") == "true":
            return
        super()._let_in()

    def get(self) -> None:
        self.service.overviews.sample()
        self.text("sampled\n")


class RetryGroupsHandler(AdminReadHandler):
    """GET /admin/retrying.json?answer=&task=&queue=&text=&page=: what waits to retry, by last answer."""

    def get(self) -> None:
        listing = self.service.overviews.between_retries()
        if listing is None:
            raise Problem(503, "Cloud Tasks does not answer. Try again in a moment.")
        wanted = RetryFilter(
            self.query("answer"), self.query("task"), self.query("queue"), self.query("text")
        )
        number = self.query("page", "1")
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise Rejected("page", number, "a number from 1")
        page = retry_groups.page(listing, wanted, int(number))
        self.json(
            {
                "listed_at": iso(listing.at),
                "is_partial": listing.is_partial,
                "groups": [
                    {
                        "answer": each.answer,
                        "kind": each.task,
                        "count": each.count,
                        "queues": dict(each.queues),
                        "first_seen": iso(each.first_seen),
                        "last_seen": iso(each.last_seen),
                        "attempts": each.attempts,
                        "most_attempts": each.most_attempts,
                        "next_try": iso(each.next_try),
                    }
                    for each in retry_groups.groups(listing, wanted)
                ],
                "page": page.number,
                "pages": page.pages,
                "count": page.count,
                "tasks": [
                    {
                        "task": each.name,
                        "kind": each.handler,
                        "queue": each.queue,
                        "attempts": each.attempts,
                        "answer": each.last_status,
                        "created_at": iso(each.created_at),
                        "failed_at": iso(each.failed_at),
                        "next_try": iso(each.next_try),
                    }
                    for each in page.tasks
                ],
            }
        )


class FindHandler(AdminReadHandler):
    """GET /admin/find.json?q=&kind=: the task of a name, or of an Idempotency-Key, with its timeline."""

    def get(self) -> None:
        text, kind = self.query("q").strip(), self.query("kind")
        if kind and self.service.kinds.get(parse_handler_name(kind)) is None:
            raise Problem(404, f"There is no kind of task {kind!r}.", field="kind", value=kind)
        found = self.service.timelines.find(text, kind)
        if found is None:
            raise Problem(
                404,
                f"No task was ever seen under {text!r}, as its name or as its Idempotency-Key; or its record "
                f"has expired.",
                field="q",
                value=text,
            )
        self.json(timeline.as_json(found))


class TaskHandler(AdminReadHandler):
    """GET /admin/task.json?task=&kind=&queue=: one task's timeline. `queue` is for tasks of unknown kinds."""

    def get(self) -> None:
        name, kind = parse_task_name(self.query("task")), parse_handler_name(self.query("kind"))
        queue = self.query("queue")
        if queue and queue not in self.service.control.names:
            raise Problem(404, f"There is no queue {queue!r} here.", field="queue", value=queue)
        found = self.service.timelines.of(kind, name, queue)
        if found is None:
            raise Problem(
                404, f"{kind} has no task {name!r}: never enqueued, or purged, or its record expired."
            )
        self.json(timeline.as_json(found))


def _periods(history: History) -> list[dict[str, object]]:
    """Oldest first; the last period is still under way."""
    return [{"at": iso(moment.starts_at), **tally_as_json(moment.tally)} for moment in history.moments]


DATA_ROUTES = [
    ("/admin/history.json", HistoryHandler),
    ("/admin/backlog.json", BacklogHandler),
    ("/admin/sample", SampleHandler),
    ("/admin/retrying.json", RetryGroupsHandler),
    ("/admin/find.json", FindHandler),
    ("/admin/task.json", TaskHandler),
]
