"""The contract that controller and agent share: orders, facts, records, results.

Values are frozen dataclasses; `codec` turns them into JSON and back. Both sides import this package,
and nothing else of each other.
"""
