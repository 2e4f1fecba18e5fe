"""Key and certificate files: read within bounds, written atomically and privately.

`authority`, `tokens` and the commands that accept a file of the user's call it. Errors name the file and
what to do with it, and never show what is in it.
"""

import os
import ssl
import stat
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from reconciler.pki.errors import AuthorityFileError

MAX_FILE_BYTES = 4 * 1024 * 1024
_OPEN_TO_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_Signing = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)


def read_bounded(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; a pipe or device is refused, never waited for."""
    return _read(path, limit)[0]


def read_private(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """As `read_bounded`, for a secret: refuses a file that others may read or that its group may change."""
    content, mode = _read(path, limit)
    if mode & _OPEN_TO_OTHERS:
        raise AuthorityFileError(
            f"{path}: others on this machine can read or change this secret; run: chmod 600 {path}"
        )
    return content


def _read(path: Path, limit: int) -> tuple[bytes, int]:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(limit + 1) if stat.S_ISREG(mode) else None
    except OSError as e:
        raise AuthorityFileError(
            f"{path}: cannot be read ({e.strerror}); check the path and its permissions"
        ) from e
    if content is None:
        raise AuthorityFileError(f"{path}: is not a regular file; give the path of a file")
    if len(content) > limit:
        raise AuthorityFileError(f"{path}: is larger than {limit} bytes; give the path of another file")
    return content, stat.S_IMODE(mode)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file."""
    content = read_bounded(path)
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError as e:
        raise AuthorityFileError(
            f"{path}: holds no readable PEM certificate; give the file that begins with BEGIN CERTIFICATE"
        ) from e


def load_key(path: Path) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    """The private key of a PEM file; refuses a passphrase, a key that cannot sign, and a file open to others."""
    key = _parse_key(path, read_private(path))
    if not isinstance(key, _Signing):
        raise AuthorityFileError(
            f"{path}: this kind of key cannot be used; give an ECDSA, Ed25519 or RSA key"
        )
    return key


def _parse_key(path: Path, content: bytes) -> PrivateKeyTypes:
    # The causes are cut off: what the parser says may quote the content.
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise AuthorityFileError(
            f"{path}: the key has a passphrase; give an unencrypted copy, made with: openssl pkey -in {path} -out FILE"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise AuthorityFileError(
            f"{path}: holds no readable PEM private key; give the file that begins with BEGIN PRIVATE KEY"
        ) from None


def load_pair(certificate_path: Path, key_path: Path) -> tuple[x509.Certificate, PrivateKeyTypes]:
    """A certificate and the key that belongs to it; refuses two that do not match."""
    certificate, key = load_certificate(certificate_path), load_key(key_path)
    if certificate.public_key() != key.public_key():
        raise AuthorityFileError(
            f"{key_path}: is not the key of the certificate {certificate_path}; give the pair that was issued together"
        )
    return certificate, key


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replaces `path` by `content` in one step that survives a power cut; readers see the old or the new."""
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as e:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise AuthorityFileError(
            f"{path}: cannot be written ({e.strerror}); free space or mend its file system, then repeat"
        ) from e


def sync_directory(directory: Path) -> None:
    """Makes renames within `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def certificate_pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM text."""
    return ssl.DER_cert_to_PEM_cert(certificate.public_bytes(serialization.Encoding.DER))


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as unencrypted PKCS #8 PEM text, which GnuTLS, OpenSSL and libvirt read."""
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode("ascii")
