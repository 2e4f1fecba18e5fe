"""Issued certificates as files for the one who is to use them; `ostler pki issue` and the lab call it.

The key is written first and the certificate last, each atomically, into a directory of mode 0700.
"""

from dataclasses import dataclass
from pathlib import Path

from reconciler.pki.authority import DIGEST_KEY_FILE, Authorities, IssuedCertificate
from reconciler.pki.errors import AuthorityFileError
from reconciler.pki.files import write_atomically


@dataclass(frozen=True, slots=True)
class ControllerFiles:
    """What a controller or applier needs, all in one directory; the arguments of `controller_context`."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """The controller's certificate."""
        return self.directory / "controller.pem"

    @property
    def key(self) -> Path:
        """The key of that certificate (0600)."""
        return self.directory / "controller.key"

    @property
    def agents_authority(self) -> Path:
        """The authority that agents' certificates must come from."""
        return self.directory / "agents-ca.pem"

    @property
    def digest_key(self) -> Path:
        """The HMAC key for digests of secrets (32 bytes, 0600)."""
        return self.directory / DIGEST_KEY_FILE


def write_controller_files(
    authorities: Authorities, issued: IssuedCertificate, directory: Path
) -> ControllerFiles:
    """Writes (or replaces) a controller's key, certificate, trust and digest key in `directory`."""
    files = ControllerFiles(_make_private(directory))
    write_atomically(files.digest_key, authorities.digest_key)
    write_atomically(files.agents_authority, issued.agents_authority_pem.encode("ascii"))
    write_atomically(files.key, issued.key_pem.encode("ascii"))
    write_atomically(files.certificate, issued.certificate_pem.encode("ascii"))
    return files


def write_agent_files(issued: IssuedCertificate, directory: Path) -> None:
    """Writes (or replaces) a host's files under the names that `ostler-agent` reads.

    For the lab and for hosts without a way to the enrolment service: here the key travels; enrolment is better.
    """
    _make_private(directory)
    write_atomically(directory / "controllers-ca.pem", issued.controllers_authority_pem.encode("ascii"))
    write_atomically(directory / "agents-ca.pem", issued.agents_authority_pem.encode("ascii"))
    write_atomically(directory / "host.key", issued.key_pem.encode("ascii"))
    write_atomically(directory / "host.pem", issued.certificate_pem.encode("ascii"))


def _make_private(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise AuthorityFileError(
            f"{directory}: cannot be made ({e.strerror}); give a directory that you may write"
        ) from e
    return directory
