"""How the reconciler speaks to agents: the protocol, its HTTPS transport, and gathering what they report.

`execution`, the loop and the simulation meet in `protocol`; only `https` knows a network.
"""
