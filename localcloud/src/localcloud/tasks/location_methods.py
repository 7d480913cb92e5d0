"""The methods of google.cloud.location.Locations: gcloud asks for them if no location is given."""

from __future__ import annotations

import re

from localcloud.tasks.broker import Broker
from localcloud.tasks.errors import invalid, not_found
from localcloud.tasks.grpc_methods import Method
from localcloud.tasks.messages import (
    GetLocationRequest,
    ListLocationsRequest,
    ListLocationsResponse,
    Location,
    Message,
)
from localcloud.tasks.names import check_location, shown

_PROJECT = re.compile(r"projects/[A-Za-z0-9:.-]+")


class LocationMethods:
    """ListLocations, GetLocation.

    We differ: a project's locations are those in which it has queues.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def methods(self) -> dict[str, Method]:
        return {
            "ListLocations": Method(ListLocationsRequest, self.list_locations),
            "GetLocation": Method(GetLocationRequest, self.get_location),
        }

    async def list_locations(self, request: Message) -> Message:
        if not _PROJECT.fullmatch(request.name):
            raise invalid(f"Project name {shown(request.name)} is malformed. Expected projects/PROJECT.")
        names = [name for name in self._names() if name.startswith(f"{request.name}/")]
        return ListLocationsResponse(locations=map(_location, names))

    async def get_location(self, request: Message) -> Message:
        name = check_location(request.name)
        if name not in self._names():
            raise not_found(f"There are no queues in {shown(name)}.")
        return _location(name)

    def _names(self) -> list[str]:
        return sorted({name.partition("/queues/")[0] for name in self._broker.queues})


def _location(name: str) -> Message:
    location_id = name.rpartition("/")[2]
    return Location(name=name, location_id=location_id, labels={"cloud.googleapis.com/region": location_id})
