"""Carries out an admitted plan: leases, journal, orders, results. Reports outcomes; observes and decides nothing else.

Plain asyncio on the loop's clock, without threads: the simulation runs the same code in virtual time.
"""
