"""How long a certificate lasts, and when it is due to be renewed. Pure; the loop asks it with the facts' time."""

from datetime import datetime

from cryptography import x509

from reconciler.pki.errors import CertificateRequestError


def expires_at(certificate_pem: str) -> datetime:
    """The last moment (UTC) at which this certificate (PEM) is valid."""
    return _parse(certificate_pem).not_valid_after_utc


def renewal_at(certificate_pem: str) -> datetime:
    """When two thirds of this certificate's life are over (UTC): from then on it is to be renewed."""
    certificate = _parse(certificate_pem)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + life * 2 / 3


def needs_renewal(certificate_pem: str, now: datetime) -> bool:
    """Whether two thirds of this certificate's life are over; also true of one that has expired."""
    return now >= renewal_at(certificate_pem)


def _parse(certificate_pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate_pem.encode("utf-8", "replace"))
    except ValueError as e:
        raise CertificateRequestError("the text is no PEM certificate") from e
