"""Use cases of the coordinator: synchronous, over ports, with time and randomness passed in.

Nothing here knows HTTP, WebSockets or SQL; the shells above call, the ports below store.
"""
