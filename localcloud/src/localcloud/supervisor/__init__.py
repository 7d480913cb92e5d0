"""Starts, watches, restarts and stops the processes that together are the local cloud.

One process each: Datastore, Cloud Tasks, the front end, and every instance of every service.
"""
