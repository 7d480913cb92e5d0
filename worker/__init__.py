"""The worker service: Cloud Tasks delivers tasks here; each handler applies its own exactly once.

Imports `counters`; nothing imports it.
"""
