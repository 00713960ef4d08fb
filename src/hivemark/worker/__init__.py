"""The process that serves one model with our engine: OpenAI's wire form on loopback, nothing else.

Started by the hive over its pipes (`start`); it ends when its standard input does.
"""
