"""How plans and orders name certificates: which one is replaced, and under which reference the new one is delivered."""

import base64
import binascii
import hashlib

PREFIX = "certificate:"
"""Of references to certificates, beside those of secrets: no secret's name has a colon."""


def certificate_reference(host: str) -> str:
    """The reference of the certificate that a host (object id) is to be given."""
    return f"{PREFIX}{host}"


def host_of_reference(reference: str) -> str | None:
    """The host whose new certificate a reference stands for; None if it is a secret's."""
    return reference.removeprefix(PREFIX) if reference.startswith(PREFIX) else None


def certificate_digest(pem: str) -> str:
    """SHA-256 (hex) of the DER form of the first certificate in a PEM text; of nothing, if there is none."""
    body = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        der = b""
    return hashlib.sha256(der).hexdigest()
