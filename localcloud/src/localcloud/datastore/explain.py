"""Explain: which index a query would be served from in production, and what it took."""

from __future__ import annotations

from localcloud.datastore import wire
from localcloud.datastore.messages import ExplainMetrics, Message
from localcloud.datastore.query_filters import Alternative
from localcloud.datastore.query_plan import Plan


def plan_summary(plan: Plan, *, is_aggregation: bool) -> Message:
    """ExplainMetrics with a plan alone: one index for each alternative of the filter.

    Real service: an index is described by its properties, "(name ASC, __name__ ASC)", and its scope (the
    client library's system tests name both).
    """
    metrics = ExplainMetrics()
    seen = set()
    for alternative in plan.alternatives or [Alternative()]:
        properties = _properties(plan, alternative)
        has_ancestor = alternative.ancestor is not None and (is_aggregation or "," in properties)
        scope = "Includes ancestors" if has_ancestor else "Collection group"
        if (scope, properties) not in seen:
            seen.add((scope, properties))
            metrics.plan_summary.indexes_used.add().update({"query_scope": scope, "properties": properties})
    return metrics


def add_execution(
    metrics: Message, *, results: int, reads: int, rows_scanned: int, documents: int, seconds: float
) -> None:
    """Add what the execution took."""
    stats = metrics.execution_stats
    stats.results_returned = results
    stats.read_operations = reads
    stats.execution_duration.FromMicroseconds(max(1, round(seconds * 1e6)))
    stats.debug_stats.update(
        {
            "billing_details": {
                "documents_billable": str(documents),
                "index_entries_billable": str(rows_scanned),
                "small_ops": "0",
                "min_query_cost": "0",
            },
            "documents_scanned": str(documents),
            "index_entries_scanned": str(rows_scanned),
        }
    )


def in_response(metrics: Message) -> bytes:
    """As the field that both responses have: explain_metrics 9."""
    return wire.field(9, metrics.SerializeToString())


def _properties(plan: Plan, alternative: Alternative) -> str:
    parts = [f"{path} ASC" for path in sorted(alternative.equal)]
    parts += [
        f"{column.path} {'DESC' if column.is_descending else 'ASC'}"
        for column in plan.columns
        if column.path not in alternative.equal
    ]
    parts.append(f"__name__ {'DESC' if plan.is_key_descending else 'ASC'}")
    return f"({', '.join(parts)})"
