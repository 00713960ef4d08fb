"""The coordinator: HTTP shells over synchronous services over ports; `main` is the only wiring.

Decisions are made here; no model is run here, and nothing here imports NumPy.
"""
