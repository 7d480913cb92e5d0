"""How much memory a tree of processes occupies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def proportional_set_size(pid: int) -> int:
    """Bytes of `pid` and all its descendants (Linux): a page that n processes share counts 1/n for each."""
    return proportional_set_sizes([pid])[pid]


def proportional_set_sizes(pids: Iterable[int]) -> dict[int, int]:
    """The same of several processes that are not within one another."""
    parents = _parents()
    return {pid: sum(own_set_size(one) for one in _tree(pid, parents)) for pid in pids}


def _parents() -> dict[int, int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue  # ended while we looked
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def _tree(root: int, parents: dict[int, int]) -> set[int]:
    tree = {root}
    while True:
        grown = tree | {pid for pid, parent in parents.items() if parent in tree}
        if grown == tree:
            return tree
        tree = grown


def own_set_size(pid: int) -> int:
    """The same of one process, without its descendants; 0 where the system doesn't tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
