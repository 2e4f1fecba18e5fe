"""Planned balancing: a short set of moves to a balanced end state, and an order that is legal at every step.

Pure arithmetic over arrays; `state` is what it reads, `plan.plan_balance` what it answers.
"""
