"""The contract: messages, routes, error kind to status, ports and header names; both sides import it."""
