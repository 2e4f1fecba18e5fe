"""Turns the facts of all agents and the contents of storage into one `Observed`: who runs what, and what is in doubt.

`assemble` is the door; `freshness` is for those who gather reports, `gaps` for those who talk to people.
"""
