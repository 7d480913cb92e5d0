"""What goes wrong with a local cloud under test."""


class LocalCloudError(Exception):
    """A process did not start, did not answer, or ended. The text quotes what it printed."""
