"""Exactly-once push tasks: the engine."""
