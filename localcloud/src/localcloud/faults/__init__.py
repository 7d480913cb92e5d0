"""Faults on purpose: a proxy before Datastore and Cloud Tasks that loses requests, answers, or time.

It passes gRPC calls on as bytes, chosen by method name; a script says which it spoils, so that a run can be
repeated. `python -m localcloud.faults --help`.
"""
