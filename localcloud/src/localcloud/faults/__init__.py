"""Faults on purpose: a proxy before Datastore and Cloud Tasks that loses requests, answers, or time.

It passes gRPC calls on as bytes, chosen by method name; what it spoils is written down in a script, so that a
run can be repeated. `python -m localcloud.faults --help`.
"""
