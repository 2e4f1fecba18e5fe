"""Ostler's node agent: reports one host's facts and carries out orders; it never chooses between hosts."""
