"""The command: one file per group, no rules inside."""
