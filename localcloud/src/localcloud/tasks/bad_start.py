"""The error of a program that can't start. Apart from the others, for it must not need gRPC to be told."""


class BadStart(Exception):
    """The program can't start: one line that says what was wrong, what was expected, what to do."""
