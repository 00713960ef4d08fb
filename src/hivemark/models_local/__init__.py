"""The model files that a person fetched to this machine: where from, how, and which there are.

Knows files and HTTP; starts nothing and serves nothing (`hive` does). No NumPy.
"""
