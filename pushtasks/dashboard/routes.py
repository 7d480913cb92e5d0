"""The dashboard's addresses."""

from __future__ import annotations

from pushtasks.dashboard import (
    exports,
    kept_pages,
    metrics,
    open_pages,
    overview_page,
    queue_pages,
    retrying,
)
from pushtasks.dashboard.data import DATA_ROUTES

ADMIN_ROUTES = [
    ("/admin/?", overview_page.OverviewHandler),
    ("/admin/live", overview_page.OverviewHandler),
    ("/admin/statistics.json", exports.StatisticsHandler),
    ("/admin/metrics", metrics.MetricsHandler),
    *DATA_ROUTES,
    ("/admin/retrying", retrying.RetryingHandler),
    ("/admin/retrying/([^/]+)/([^/]+)/run", retrying.RunNowHandler),
    ("/admin/retrying/([^/]+)/([^/]+)/delete", retrying.DeleteHandler),
    ("/admin/kept", kept_pages.KeptHandler),
    ("/admin/kept.csv", exports.KeptCsvHandler),
    ("/admin/kept/task", kept_pages.KeptTaskHandler),
    ("/admin/kept/all", kept_pages.AllHandler),
    ("/admin/kept/selected", kept_pages.SelectedHandler),
    ("/admin/kept/edited", kept_pages.EditedHandler),
    ("/admin/queues/([^/]+)/pause", queue_pages.PauseHandler),
    ("/admin/queues/([^/]+)/resume", queue_pages.ResumeHandler),
    ("/admin/queues/([^/]+)/purge", queue_pages.PurgeHandler),
]
"""For administrators."""

MONITORING_ROUTES = [
    ("/health", open_pages.HealthHandler),
    ("/metrics", open_pages.MetricsHandler),
]
"""For monitoring from outside."""
