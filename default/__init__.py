"""The default service: the public page, the JSON API, and the administrators' dashboard.

Imports `counters`; nothing imports it.
"""
