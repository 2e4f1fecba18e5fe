"""The public key of one who asks for a certificate; nothing else that a request says is used.

`authority` signs what these return, the enrolment service asks before it uses up a token.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler.pki.errors import CertificateRequestError
from reconciler.pki.profiles import check_uuid

MAX_REQUEST_BYTES = 16 * 1024
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.ExtensionNotFound)


def read_request_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """The public key of a PKCS #10 request (PEM, at most 16 KiB) whose sender has proved to hold the private key.

    Refuses whatever is not an ECDSA P-256 key, and a request whose signature is not by that key.
    """
    if len(csr_pem) > MAX_REQUEST_BYTES:
        raise CertificateRequestError(f"the certificate request is larger than {MAX_REQUEST_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode("utf-8", "replace"))
        key = request.public_key()
        proved = request.is_signature_valid
    except _UNREADABLE as e:
        raise CertificateRequestError(
            "the certificate request cannot be read; enrol with `ostler-agent enroll`"
        ) from e
    if (
        not isinstance(key, ec.EllipticCurvePublicKey)
        or not isinstance(key.curve, ec.SECP256R1)
        or not proved
    ):
        raise CertificateRequestError("the certificate request must be signed by its own ECDSA P-256 key")
    return key


def read_agent_key(
    certificate_pem: str, agents_authority: x509.Certificate, host_uuid: str
) -> ec.EllipticCurvePublicKey:
    """The public key of a host's present certificate (PEM), valid or expired.

    Refuses a certificate that `agents_authority` did not sign, or that is another host's.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode("utf-8", "replace"))
        certificate.verify_directly_issued_by(agents_authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        urns = names.get_values_for_type(x509.UniformResourceIdentifier)
        key = certificate.public_key()
    except _UNREADABLE as e:
        raise CertificateRequestError(
            "the host's certificate is not of this estate; enrol the host again"
        ) from e
    if urns != [f"urn:uuid:{check_uuid(host_uuid)}"] or not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateRequestError(
            "the certificate is another host's; correct spec.uuid or enrol the host again"
        )
    return key
