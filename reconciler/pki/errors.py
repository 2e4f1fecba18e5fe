"""What can go wrong with certificates, by who must act."""


class PkiError(Exception):
    """Base of the errors of this package; the text says who must do what, and never holds key material."""


class AuthorityFileError(PkiError):
    """The operator must mend a file or directory that holds certificates, keys or tokens."""


class CertificateRequestError(PkiError):
    """The one who asked for a certificate asked for something that no certificate is issued for."""


class AuthorityExpiredError(PkiError):
    """The issuing authority itself has ended; the operator must make a new one and enrol the hosts again."""


class TokenRefusedError(PkiError):
    """The enrolment token is unknown, used or expired; the operator must make a new one."""
