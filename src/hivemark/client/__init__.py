"""The SDK over the contract: asks a coordinator, follows a job, and checks what it receives.

What a server or a terminal is belongs elsewhere: nothing here prints, starts programs or reads the
environment. Import the modules by name; this file exports nothing.
"""
