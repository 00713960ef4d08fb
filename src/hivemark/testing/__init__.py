"""Doubles that ship with the product: a clock, a scripted engine, a simulator."""
