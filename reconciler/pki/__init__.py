"""Certificates of an estate: two issuing authorities, enrolment of hosts, TLS contexts.

`ostler pki` and the loop call it; it knows files and cryptography, and nothing of manifests.
"""
