"""Turns changes into steps, orders them, and explains both. Two passes: decide steps, then order them. Pure."""
