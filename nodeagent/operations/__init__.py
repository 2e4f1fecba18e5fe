"""One module per order kind or close family: check, run, verify. The only code that changes a host."""
