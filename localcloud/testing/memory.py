"""How much memory a tree of processes occupies."""

from __future__ import annotations

from pathlib import Path


def proportional_set_size(pid: int) -> int:
    """Bytes of `pid` and all its descendants (Linux): a page that n processes share counts 1/n for each."""
    return sum(_own(one) for one in _tree(pid))


def _tree(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue  # ended while we looked
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    tree = {root}
    while True:
        grown = tree | {pid for pid, parent in parents.items() if parent in tree}
        if grown == tree:
            return tree
        tree = grown


def _own(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
