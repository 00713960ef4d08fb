"""The agent on one machine: it joins a network, offers models, supervises workers and signs receipts.

Decisions are made in the coordinator; the hive executes and reports facts. `core.py` is the whole conduct of
the link without I/O; `agent.py` carries its effects out. Neither NumPy nor a web framework is imported here.
"""
