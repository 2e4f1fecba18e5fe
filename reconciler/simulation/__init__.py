"""Simulated hosts and storage behind the AgentLink Protocol, in virtual time: laws, timelines, what-if, demos without root.

Knows the Protocol and the contract, and nothing of the stages that it serves.
"""
