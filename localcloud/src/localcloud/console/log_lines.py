"""The lines of all processes, newest ones that pass a filter: read from the supervisor's timeline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.supervisor.timeline import TIMELINE_FILE

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_RANKS = {name: rank for rank, name in enumerate(LEVELS)}
_RANKS |= {"WARN": 2, "NOTICE": 1, "FATAL": 4, "ALERT": 4, "EMERGENCY": 4, "DEFAULT": 1, "TRACE": 0}
_LETTERS = {"D": 0, "I": 1, "W": 2, "E": 3, "C": 4, "F": 4}
_WORD = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
_LETTER = re.compile(r"([DIWECF])(?:\d{4}| )")
_SEVERITY = re.compile(r'"(?:severity|level|levelname)": ?"(\w+)"')
# What follows its head in a traceback: indented lines, and the exception itself.
_FOLLOWS = re.compile(r"\s|[\w.]+(?:Error|Exception|Interrupt|Exit)\b|During handling of|The above exception")
_TRACE_NAME = re.compile(r"\btraces/([0-9a-zA-Z-]{8,64})")
_TRACE = re.compile(r"\btrace(?:_id)?[\"']?[=:] ?[\"']?([0-9a-zA-Z-]{8,64})\b(?!/)")
_TASK = re.compile(r"(?:/tasks/|\btask(?:_name)?[\"']?[=:] ?[\"']?)([A-Za-z0-9_-]{4,500})")
_DISPATCHER = re.compile(r"[a-z0-9-]+/([A-Za-z0-9_-]+) attempt \d+ failed")
_MOST_PENDING = 500
_BLOCK_BYTES = 64 * 1024
# One of them is in any line of level WARNING or above.
_SERIOUS: tuple[bytes, ...] = (
    b"WARN",
    b"ERROR",
    b"CRITICAL",
    b"FATAL",
    b"ALERT",
    b"EMERGENCY",
    b"Traceback",
    b" failed: ",
)
_SERIOUS += (b'"error', b'"warn', b'"critical', b'"fatal', b'"alert', b'"emergency')
_SERIOUS += tuple(f" {letter}{next_}".encode() for letter in "WECF" for next_ in " 01")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What to show. Texts are parts of a line, in upper or lower case; an empty one matches all."""

    service: str = ""
    level: str = ""
    text: str = ""
    trace: str = ""
    task: str = ""

    @property
    def parts(self) -> list[str]:
        return [part.lower() for part in (self.text, self.trace, self.task) if part]


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is shown. `trace` and `task` are what it names, if anything."""

    time_us: int
    service: str
    level: str
    text: str
    trace: str
    task: str


def latest(log_folder: Path, wanted: LogFilter, most: int) -> list[Line]:
    """The last `most` lines that pass the filter, the newest last."""
    found: list[Line] = []
    pending: dict[str, list[tuple[int, str, str]]] = {}
    least = _RANKS.get(wanted.level, 0)
    parts = wanted.parts
    for time_us, service, text in _backwards(log_folder, wanted):
        if wanted.service and service != wanted.service:
            continue
        rank = _rank(service, text)
        if rank is None and _FOLLOWS.match(text):
            # Its head stands before it, and says the level of both.
            waiting = pending.setdefault(service, [])
            if len(waiting) < _MOST_PENDING:
                waiting.append((time_us, service, text))
            continue
        rank = 1 if rank is None else rank
        group = [*pending.pop(service, []), (time_us, service, text)]
        if rank < least or not _holds(group, parts):
            continue
        found += [_line(*each, rank) for each in group]
        if len(found) >= most:
            break
    found += [
        _line(*each, 1) for group in pending.values() for each in group if _holds([each], parts) and not least
    ]
    found.sort(key=lambda line: line.time_us, reverse=True)
    return found[:most][::-1]


def message_of(text: str) -> str:
    """What to show of a line: of a JSON one its message, then its other fields."""
    if not text.startswith("{"):
        return text
    try:
        fields = json.loads(text)
    except ValueError:
        return text
    if not isinstance(fields, dict) or "message" not in fields:
        return text
    message = str(fields.pop("message"))
    left_out = ("severity", "level", "levelname", "logging.googleapis.com/trace", "time", "timestamp")
    others = " ".join(f"{name}={value}" for name, value in fields.items() if name not in left_out)
    return f"{message} {others}".rstrip()


def _holds(group: list[tuple[int, str, str]], parts: list[str]) -> bool:
    if not parts:
        return True
    text = "\n".join(each[2] for each in group).lower()
    return all(part in text for part in parts)


def _line(time_us: int, service: str, text: str, rank: int) -> Line:
    trace = _TRACE_NAME.search(text) or _TRACE.search(text)
    task = _TASK.search(text) or _DISPATCHER.match(text)
    return Line(
        time_us, service, LEVELS[rank], message_of(text), trace[1] if trace else "", task[1] if task else ""
    )


def _rank(service: str, text: str) -> int | None:
    """How serious the line is; None: it doesn't say."""
    if text.startswith("{"):
        found = _SEVERITY.search(text)
        if found:
            return _RANKS.get(found[1].upper(), 1)
    if text.startswith("Traceback (most recent call last)"):
        return 3
    if service == "tasks" and " failed: " in text:
        return 3 if text.endswith("the task is deleted") else 2
    letter = _LETTER.match(text)
    if letter:
        return _LETTERS[letter[1]]
    word = _WORD.search(text[:120])
    return _RANKS[word[1]] if word else None


def _backwards(log_folder: Path, wanted: LogFilter) -> Iterator[tuple[int, str, str]]:
    """Time, service and text of each line that may be wanted, from the newest on."""
    for name in (TIMELINE_FILE, f"{TIMELINE_FILE}.1"):
        try:
            data = (log_folder / name).read_bytes()
        except OSError:
            continue
        for block in _promising(data, wanted):
            for line in reversed(block.split(b"\n")):
                time_us, _, rest = line.partition(b" ")
                service, _, text = rest.partition(b" ")
                if time_us.isdigit():
                    yield int(time_us), service.decode("utf-8", "replace"), text.decode("utf-8", "replace")


def _promising(data: bytes, wanted: LogFilter) -> Iterator[bytes]:
    """The file in blocks of whole lines, from its end on, without those that hold nothing that is wanted.

    A traceback may begin in the block before: the neighbours of a block that holds something come, too.
    """
    blocks = []
    end = len(data)
    while end > 0:
        start = data.rfind(b"\n", 0, max(0, end - _BLOCK_BYTES)) + 1
        blocks.append(data[start:end])
        end = start
    holds = [_may_hold(block, wanted) for block in blocks]
    for number, block in enumerate(blocks):
        if any(holds[max(0, number - 1) : number + 2]):
            yield block


def _may_hold(block: bytes, wanted: LogFilter) -> bool:
    if _RANKS.get(wanted.level, 0) >= _RANKS["WARNING"] and not any(each in block for each in _SERIOUS):
        return False
    if not wanted.parts:
        return True
    lower = block.decode("utf-8", "replace").lower()
    return all(part in lower for part in wanted.parts)
