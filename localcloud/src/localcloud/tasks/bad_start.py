"""The error of a program that can't start. In a module of its own, so that reporting it doesn't need gRPC."""


class BadStart(Exception):
    """The program can't start: one line that says what was wrong, what was expected, what to do."""
