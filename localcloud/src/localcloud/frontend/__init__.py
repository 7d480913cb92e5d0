"""App Engine's front end: hosts and handlers, static files, sign-in, trusted headers, balancing.

It collects each request whole, checks it, writes it anew for one instance, and collects the answer whole;
what a service receives was never the client's own bytes, so nothing is smuggled past the checks.
"""
