"""Transparency logs by the C2SP specifications: Merkle tree, tiles, notes, checkpoints, proofs, policies.

Pure functions on bytes; tiles come in through a `read_tile` callable and go out as a plan of files. Which
entries are logged, and when, is decided elsewhere.
"""
