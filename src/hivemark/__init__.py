"""Hivemark pools machines into one AI service and proves every result."""
