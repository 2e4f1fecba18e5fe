"""The planner's version: a plan made by another one is shown, and refused for apply."""

PLANNER = "0.1.0"
