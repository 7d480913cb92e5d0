"""App Engine's front end: hosts and handlers, static files, sign-in, trusted headers, balancing.

It collects each request whole, checks it, writes it again for one instance, and collects the answer whole;
a service never receives the client's own bytes, so nothing can be smuggled past the checks.
"""
