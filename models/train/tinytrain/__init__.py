"""Trains the shipped models and writes them as GGUF. Needs PyTorch (`requirements.txt`)."""
