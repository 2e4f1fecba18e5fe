"""The `ostler` command: one module per command, nothing decided here."""
