"""Regions, and the YAML files, as the deployment needs them."""

from __future__ import annotations

import re
from pathlib import Path

from google.appengine.api import appinfo, queueinfo

from deploy.gcloud import Stopped

# App Engine calls these two by older names ("App Engine locations"); everything else uses the region's name.
_APP_LOCATIONS = {"us-central1": "us-central", "europe-west1": "europe-west"}
_REGIONS = {location: region for region, location in _APP_LOCATIONS.items()}

_PROJECT = re.compile(r"(?:[a-z0-9][a-z0-9.-]*\.[a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
"""Older projects of an organisation have its domain before their id: example.com:my-project."""
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")


def parse_project(text: str) -> str:
    """A project's id. Raises Stopped."""
    if not _PROJECT.fullmatch(text):
        raise Stopped(
            f"PROJECT is {text!r}. Expected a project's id, 6 to 30 of a-z, 0-9 and -: "
            "make deploy PROJECT=my-project REGION=us-central1 (`gcloud projects list` shows yours)"
        )
    return text


def app_label(project: str) -> str:
    """What stands for the project in its addresses: my-project, or my-project.example.com."""
    domain, _, name = project.rpartition(":")
    return f"{name}.{domain}" if domain else name


def parse_region(text: str) -> str:
    """A region; App Engine's older names are taken too. Raises Stopped."""
    region = _REGIONS.get(text, text)
    if not _REGION.fullmatch(region):
        raise Stopped(
            f"REGION is {text!r}. Expected a region such as us-central1 or europe-west1 "
            "(`gcloud app regions list` shows all)"
        )
    return region


def app_location(region: str) -> str:
    """What App Engine calls the region."""
    return _APP_LOCATIONS.get(region, region)


def region_of(location: str) -> str:
    """The region of an App Engine location: where its queues are."""
    return _REGIONS.get(location, location)


def service_name(file: Path) -> str:
    """The service that an app.yaml describes."""
    return appinfo.LoadSingleAppInfo(file.read_text()).service or "default"


def queue_names(file: Path) -> list[str]:
    """The queues that queue.yaml describes."""
    return [queue.name for queue in queueinfo.LoadSingleQueue(file.read_text()).queue or ()]
