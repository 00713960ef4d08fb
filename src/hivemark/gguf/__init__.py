"""What a GGUF file says of itself, read from bytes that may lie: no NumPy, so that every program may ask.

Computing with the tensors is `engine`'s business.
"""
