"""The kinds of task that this application has. For a new one write a file like `update_counter.py`."""

from __future__ import annotations

from counters.update_counter import UpdateCounter

TASKS = (UpdateCounter,)
