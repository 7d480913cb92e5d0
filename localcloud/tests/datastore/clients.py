"""Google's plain Datastore client, whose functions carry no types."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore as library
from google.cloud.datastore import query

datastore: Any = library
PropertyFilter: Any = query.PropertyFilter
