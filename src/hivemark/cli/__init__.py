"""The command `hivemark`: one file per command group that asks, starts and shows; no rules inside.

What a job may do, what a receipt proves and how the log is checked is decided in the layers below. Each
module is loaded when its command runs (`main.py`), so that `hivemark --help` stays quick.
"""
