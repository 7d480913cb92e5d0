"""Which composite indexes a query needs in production, and whether index.yaml declares them.

Real service: built-in indexes serve queries by ancestor and equality filters, in the order of keys; by one
property's inequality or order alone; and kindless ones. All else needs a composite index: the equality
properties first, in any order, then the sorted ones. Several indexes that go on alike after their equality
properties may be merged (documentation, "Indexes").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from localcloud.datastore.errors import BadStart, failed_precondition
from localcloud.datastore.query_filters import KEY, Alternative
from localcloud.datastore.query_plan import Column, Plan
from localcloud.parser_warnings import no_parser_warnings

# Comments, and the key without a list.
_DECLARES_NOTHING = re.compile(r"(\s|#.*|---|indexes\s*:)*")


@dataclass(frozen=True, slots=True)
class CompositeIndex:
    """An entry of index.yaml."""

    kind: str
    has_ancestor: bool
    columns: tuple[Column, ...]

    def as_yaml(self) -> str:
        """The lines to put into index.yaml."""
        lines = [f"- kind: {self.kind}"]
        if self.has_ancestor:
            lines.append("  ancestor: yes")
        lines.append("  properties:")
        for column in self.columns:
            lines.append(f"  - name: {column.path}")
            if column.is_descending:
                lines.append("    direction: desc")
        return "\n".join(lines)


class IndexRequirements:
    """The declared indexes, and the check of a query against them."""

    def __init__(self, declared: Iterable[CompositeIndex]) -> None:
        self._declared = list(declared)

    def check(self, plan: Plan) -> None:
        """Raises Refused (FAILED_PRECONDITION) with the lines that index.yaml lacks."""
        missing = {
            needed.as_yaml(): None
            for alternative in plan.alternatives
            if (needed := needed_index(plan, alternative)) is not None
            and not self._is_served(alternative, needed)
        }
        if missing:
            raise failed_precondition("no matching index found. recommended index is:\n" + "\n".join(missing))

    def _is_served(self, alternative: Alternative, needed: CompositeIndex) -> bool:
        equal = set(alternative.equal)
        sorting = needed.columns[len(equal) :]
        covered: set[str] = set()
        serves = False
        for index in self._declared:
            count = len(index.columns) - len(sorting)
            leading = {column.path for column in index.columns[:count]} if count >= 0 else {""}
            if (
                index.kind == needed.kind
                and index.has_ancestor == needed.has_ancestor
                and index.columns[count:] == sorting
                and leading <= equal
            ):
                serves = True
                covered |= leading
        return serves and covered == equal


def needed_index(plan: Plan, alternative: Alternative) -> CompositeIndex | None:
    """The composite index that serves this alternative alone; None if built-in ones do."""
    if plan.kind is None:
        return None
    equal = sorted(alternative.equal)
    columns = [*plan.columns]
    last_is_descending = columns[-1].is_descending if columns else False
    if plan.is_key_descending != last_is_descending or plan.key_position < len(columns):
        columns.insert(plan.key_position, Column(KEY, plan.is_key_descending))
    sorting = [column for column in columns if column.path not in alternative.equal]
    has_ancestor = alternative.ancestor is not None
    if not sorting:
        return None
    if len(sorting) == 1 and not equal and not has_ancestor and sorting[0].path != KEY:
        return None
    needed = (*(Column(path, False) for path in equal), *sorting)
    return CompositeIndex(plan.kind, has_ancestor, needed)


def read_index_file(file: Path) -> IndexRequirements:
    """The indexes that an index.yaml declares. Raises BadStart with file, line and reason."""
    # Google's own parser; imported late, since only this option needs it.
    from google.appengine.api import validation, yaml_errors
    from google.appengine.datastore import datastore_index

    try:
        text = file.read_text("utf-8")
        with no_parser_warnings():
            definitions = datastore_index.ParseIndexDefinitions(text)
    except OSError as error:
        raise BadStart(f"cannot read {file} ({error.strerror}). Name an index.yaml.") from None
    except UnicodeDecodeError:
        raise BadStart(f"{file} is not UTF-8. Expected an index.yaml.") from None
    except (yaml_errors.Error, validation.ValidationError) as error:
        raise BadStart(f"{file} is not an index.yaml: {' '.join(str(error).split())}") from None
    entries = definitions.indexes if definitions is not None else None
    if entries is None and not _DECLARES_NOTHING.fullmatch(text):
        raise BadStart(f"{file} is not an index.yaml. Expected a list under 'indexes:'.")
    return IndexRequirements(
        CompositeIndex(
            entry.kind,
            bool(entry.ancestor),
            tuple(Column(each.name, each.direction == "desc") for each in entry.properties or ()),
        )
        for entry in entries or ()
    )
