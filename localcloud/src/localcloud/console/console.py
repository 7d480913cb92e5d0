"""What every page works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.console.datastore import Datastore
from localcloud.console.keys import Database
from localcloud.console.pages import Pages
from localcloud.console.surroundings import Surroundings
from localcloud.console.tasks import Tasks
from localcloud.console.web import Fields, Response


@dataclass(frozen=True, slots=True)
class Console:
    """The servers, and the pages that show them."""

    around: Surroundings
    datastore: Datastore
    tasks: Tasks
    pages: Pages

    def page(self, template: str, **values: Any) -> Response:
        return self.pages.page(template, **values)

    def database(self, fields: Fields) -> Database:
        """The database that an address names by `project`, `database` and `namespace`."""
        return Database(
            fields.get("project") or self.around.project, fields.get("database"), fields.get("namespace")
        )

    def where(self, database: Database) -> dict[str, str]:
        """The inverse of `database`, for an address: only what is not the default."""
        project = "" if database.project == self.around.project else database.project
        return {"project": project, "database": database.database, "namespace": database.namespace}
