"""The corpus of the shipped models: sentences made by rules and chance, none of them anybody else's.

Pure Python. The same variant, seed and size give the same bytes; a test keeps it so.
"""
