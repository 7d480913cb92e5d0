"""The last run of each job, kept in one small file: an interval goes on where it was over a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from localcloud.cron.job import Job, LastRun


class LastRuns:
    """The last run of each job, in `file`; None: in memory."""

    def __init__(self, file: Path | None, jobs: Sequence[Job], write_log: Callable[[str], None]) -> None:
        """Only what belongs to `jobs` is kept. A file that can't be read counts as empty, and is logged."""
        self._file = file
        self._write_log = write_log
        self._runs: dict[str, LastRun] = {}
        if file is None or not file.exists():
            return
        wanted = {_key(job) for job in jobs}
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            self._runs = {key: LastRun.from_json(run) for key, run in stored.items() if key in wanted}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            write_log(f"cron: {file} can't be read, so all jobs count as never run: {error}")

    def of(self, job: Job) -> LastRun | None:
        return self._runs.get(_key(job))

    def keep(self, job: Job, run: LastRun) -> None:
        """From now on this is the job's last run."""
        self._runs[_key(job)] = run
        if self._file is None:
            return
        draft = self._file.with_name(self._file.name + ".new")
        try:
            draft.write_text(json.dumps({key: one.as_json() for key, one in self._runs.items()}))
            draft.replace(self._file)
        except OSError as error:
            self._write_log(f"cron: {self._file} can't be written: {error.strerror}")


def _key(job: Job) -> str:
    """What identifies a job after an edit of cron.yaml: everything that decides what runs when."""
    return json.dumps([job.url, job.target, job.schedule_text, job.timezone])
