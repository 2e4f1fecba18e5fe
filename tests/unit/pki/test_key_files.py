"""Files that a user gives: refused with the file's name and what to do, never with what is in it."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from reconciler.pki.authority import Authorities, load_authorities
from reconciler.pki.contexts import controller_context
from reconciler.pki.errors import AuthorityFileError
from reconciler.pki.files import load_certificate, load_key, load_pair, write_atomically

from .conftest import HOST_1, write_pair


def private(path: Path, content: bytes | str) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def encoded(
    key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey, password: bytes | None = None
) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_a_key_with_a_passphrase_is_refused_with_the_command_that_takes_it_off(tmp_path: Path) -> None:
    path = private(tmp_path / "my.key", encoded(ec.generate_private_key(ec.SECP256R1()), b"secret"))

    with pytest.raises(AuthorityFileError, match=r"my\.key: the key has a passphrase; .*openssl pkey"):
        load_key(path)


def test_a_broken_key_is_named_and_not_quoted(tmp_path: Path) -> None:
    key = encoded(ec.generate_private_key(ec.SECP256R1())).decode()
    body = key.splitlines()[1]
    path = private(tmp_path / "my.key", key.replace(body, body[:-4]))

    with pytest.raises(AuthorityFileError) as caught:
        load_key(path)

    assert str(path) in str(caught.value)
    assert body[:20] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_that_others_may_read_is_refused_until_it_is_private(tmp_path: Path) -> None:
    path = private(tmp_path / "my.key", encoded(ec.generate_private_key(ec.SECP256R1())))
    path.chmod(0o644)

    with pytest.raises(AuthorityFileError, match="chmod 600"):
        load_key(path)

    path.chmod(0o440)
    load_key(path)


def test_a_key_that_cannot_sign_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "my.key", encoded(x25519.X25519PrivateKey.generate()))

    with pytest.raises(AuthorityFileError, match="ECDSA, Ed25519 or RSA"):
        load_key(path)


def test_missing_files_directories_pipes_and_huge_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    (tmp_path / "text").write_text("hello")

    for name in ("missing", "pipe", "huge", "text", "."):
        with pytest.raises(AuthorityFileError, match=str(tmp_path)):
            load_certificate(tmp_path / name)


def test_a_certificate_with_another_key_is_refused(estate: Authorities, tmp_path: Path) -> None:
    certificate, _ = write_pair(tmp_path / "a", estate.issue_controller("a"))
    _, key = write_pair(tmp_path / "b", estate.issue_controller("b"))

    with pytest.raises(AuthorityFileError, match="not the key of the certificate"):
        load_pair(certificate, key)
    with pytest.raises(AuthorityFileError, match="not the key of the certificate"):
        controller_context(certificate, key, estate.directory / "agents-ca.pem")


@pytest.mark.parametrize("name", ["controllers-ca.key", "agents-ca.pem", "digest.key"])
def test_authorities_with_a_missing_file_are_refused_by_its_name(authorities: Authorities, name: str) -> None:
    (authorities.directory / name).unlink()

    with pytest.raises(AuthorityFileError, match=name):
        load_authorities(authorities.directory)


def test_authorities_whose_files_were_mixed_up_are_refused(authorities: Authorities, tmp_path: Path) -> None:
    directory = authorities.directory
    certificate, key = write_pair(tmp_path / "leaf", authorities.issue_agent("host-1", HOST_1, []))
    backup = {
        name: (directory / name).read_bytes() for name in ("agents-ca.pem", "agents-ca.key", "digest.key")
    }

    write_atomically(directory / "digest.key", b"short")
    with pytest.raises(AuthorityFileError, match="32 bytes"):
        load_authorities(directory)
    write_atomically(directory / "digest.key", backup["digest.key"])
    write_atomically(directory / "agents-ca.pem", certificate.read_bytes())
    with pytest.raises(AuthorityFileError, match="not the key"):
        load_authorities(directory)
    write_atomically(directory / "agents-ca.key", key.read_bytes())
    with pytest.raises(AuthorityFileError, match="no issuing"):
        load_authorities(directory)


def test_nothing_that_holds_a_key_shows_it(estate: Authorities) -> None:
    issued = estate.issue_agent("host-1", HOST_1, [])

    assert "PRIVATE KEY" not in repr(issued)
    assert repr(estate.digest_key) not in repr(estate)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(AuthorityFileError, match="cannot be written"):
        write_atomically(tmp_path / "missing" / "file", b"new")
