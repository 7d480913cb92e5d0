"""The dashboard's addresses."""

from __future__ import annotations

from default.admin import counter_page, exports, kept, metrics, overview, queue_pages, retrying

ADMIN_ROUTES = [
    ("/admin/?", overview.OverviewHandler),
    ("/admin/live", overview.OverviewHandler),
    ("/admin/statistics.json", exports.StatisticsHandler),
    ("/admin/metrics", metrics.MetricsHandler),
    ("/admin/counters.csv", exports.CountersCsvHandler),
    ("/admin/counters/([^/]+)", counter_page.CounterPageHandler),
    ("/admin/retrying", retrying.RetryingHandler),
    ("/admin/retrying/([^/]+)/([^/]+)/run", retrying.RunNowHandler),
    ("/admin/retrying/([^/]+)/([^/]+)/delete", retrying.DeleteHandler),
    ("/admin/kept", kept.KeptHandler),
    ("/admin/kept.csv", exports.KeptCsvHandler),
    ("/admin/kept/task", kept.KeptTaskHandler),
    ("/admin/kept/all", kept.SettleAllHandler),
    ("/admin/kept/selected", kept.SettleSelectedHandler),
    ("/admin/kept/edited", kept.SettleEditedHandler),
    ("/admin/queues/([^/]+)/pause", queue_pages.PauseHandler),
    ("/admin/queues/([^/]+)/resume", queue_pages.ResumeHandler),
    ("/admin/queues/([^/]+)/purge", queue_pages.PurgeHandler),
]
