"""What this controller remembers: the journal of its applies, attempts, confirmations, pauses, history.

A cache: losing it costs history, never safety, because agents' ledgers and the records on storage say what is.
"""
