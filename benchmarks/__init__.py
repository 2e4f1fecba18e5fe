"""Measurements behind docs/performance.md; `make bench` runs them all and prints one table each."""
