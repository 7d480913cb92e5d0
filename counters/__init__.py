"""The domain: counters, and tasks that change them exactly once.

Knows nothing of webapp2. `default` and `worker` import this package; it imports neither.
"""
