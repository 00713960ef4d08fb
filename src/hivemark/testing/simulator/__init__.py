"""The whole system in one thread under a seed: what the programs do to each other when everything goes wrong.

Real: services, link sessions, sequencer, store (SQLite in memory), `HiveCore`, outbox, receipts. Simulated:
time, network, disk failures, engines, users. No rule of the system is decided here.
"""
