"""The domain: guests, and the tasks that change them. Knows nothing of webapp2.

`default` and `worker` import this package; it imports neither.
"""
