"""The values that stages hand to each other: frozen, without I/O, clock or randomness.

Contract values of `nodeagent.wire` (guest configurations, facts, records) are used as they are.
"""
