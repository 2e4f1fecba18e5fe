"""Collectors: one module for each topic of the state and statistics documents."""
