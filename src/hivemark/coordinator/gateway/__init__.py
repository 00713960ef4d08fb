"""The shell of the hives' links: a sans-I/O session, and thin WebSocket and POST routes around it."""
