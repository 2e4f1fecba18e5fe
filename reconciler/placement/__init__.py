"""Decides where every VM runs, never when: filters, weights and rank selection under oVirt's names. Pure."""
