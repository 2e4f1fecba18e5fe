"""Ostler's controller side: from manifests and facts to an ordered plan, and its execution."""
