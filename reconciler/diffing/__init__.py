"""Compares what is declared with what is observed: identity, power, fields, removals, drift.

Says what must become different; `planning` says by which steps. Pure.
"""
