"""What the authorities issue, and how they lie on disk."""

import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reconciler.pki.authority import Authorities, create_authorities, load_authorities
from reconciler.pki.errors import AuthorityExpiredError, AuthorityFileError, CertificateRequestError
from reconciler.pki.export import write_agent_files, write_controller_files

from .conftest import HOST_1, HOST_2


def parse(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def request_for(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "host-1") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_keys_are_private_to_the_owner_and_what_is_made_is_what_is_loaded(tmp_path: Path) -> None:
    made = create_authorities(tmp_path / "estate" / "pki")
    directory = made.directory

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {
        "controllers-ca.key": 0o600,
        "controllers-ca.pem": 0o644,
        "agents-ca.key": 0o600,
        "agents-ca.pem": 0o644,
        "digest.key": 0o600,
    }
    loaded = load_authorities(directory)
    assert (loaded.fingerprint, loaded.agents.fingerprint, loaded.digest_key) == (
        made.fingerprint,
        made.agents.fingerprint,
        made.digest_key,
    )
    assert len(made.digest_key) == 32
    assert made.fingerprint != made.agents.fingerprint


def test_existing_authorities_are_never_replaced_and_no_debris_is_left(tmp_path: Path) -> None:
    made = create_authorities(tmp_path / "pki")

    with pytest.raises(AuthorityFileError, match="already exists"):
        create_authorities(tmp_path / "pki")

    assert load_authorities(tmp_path / "pki").fingerprint == made.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


def test_an_empty_directory_may_be_used_and_a_file_may_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    (tmp_path / "file").write_text("precious")

    assert stat.S_IMODE(create_authorities(tmp_path / "empty").directory.stat().st_mode) == 0o700
    with pytest.raises(AuthorityFileError):
        create_authorities(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


def test_an_agent_is_server_and_client_under_its_name_its_addresses_and_its_uuid(estate: Authorities) -> None:
    issued = estate.issue_agent(
        "host-1", HOST_1.upper(), ["10.0.0.1", "FD00::1", "H1.example.org", "10.0.0.1"]
    )
    certificate = parse(issued.certificate_pem)

    certificate.verify_directly_issued_by(estate.agents.certificate)
    assert certificate.subject.rfc4514_string() == "CN=host-1"
    names = names_of(certificate)
    assert names.get_values_for_type(x509.DNSName) == ["host-1", "h1.example.org"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "fd00::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:uuid:{HOST_1}"]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    assert set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert issued.authority_pem == issued.agents_authority_pem == estate.agents.pem
    assert issued.controllers_authority_pem == estate.controllers.pem


def test_a_controller_is_a_client_only_of_the_controllers_authority(estate: Authorities) -> None:
    issued = estate.issue_controller("ci")
    certificate = parse(issued.certificate_pem)

    certificate.verify_directly_issued_by(estate.controllers.certificate)
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert issued.authority_pem == estate.controllers.pem


@pytest.mark.parametrize("name", ["", "Host-1", "host_1", "-a", "a" * 64, "a.b", "host-1\n", "höst", "*"])
def test_names_that_metadata_name_would_refuse_are_refused(estate: Authorities, name: str) -> None:
    with pytest.raises(CertificateRequestError):
        estate.issue_agent(name, HOST_1, [])
    with pytest.raises(CertificateRequestError):
        estate.issue_controller(name)


@pytest.mark.parametrize(
    "address",
    ["", "*.example.org", "fe80::1%eth0", "10.0.0.1:54330", "300.1.1.1", "a b", "a\0b", "x" * 254, "höst.de"],
)
def test_addresses_that_are_neither_ip_nor_dns_are_refused(estate: Authorities, address: str) -> None:
    with pytest.raises(CertificateRequestError):
        estate.issue_agent("host-1", HOST_1, [address])


@pytest.mark.parametrize("text", ["", "host-1", HOST_1[:-1], f"{{{HOST_1}}}", HOST_1.replace("-", "")])
def test_what_is_no_uuid_is_refused(estate: Authorities, text: str) -> None:
    with pytest.raises(CertificateRequestError):
        estate.issue_agent("host-1", text, [])


def test_a_certificate_begins_an_hour_ago_and_ends_after_its_life(estate: Authorities) -> None:
    start = datetime(2027, 1, 1, 1, tzinfo=UTC)
    pem = estate.issue_agent("host-1", HOST_1, [], now=start, lifetime=timedelta(hours=29)).certificate_pem

    assert parse(pem).not_valid_before_utc == start - timedelta(hours=1)
    assert parse(pem).not_valid_after_utc == start + timedelta(hours=29)


def test_no_certificate_outlives_its_authority_and_an_ended_authority_issues_none(
    tmp_path: Path, now: datetime
) -> None:
    old = create_authorities(tmp_path / "pki", now=now - timedelta(days=3650 - 10))

    assert (
        parse(old.issue_controller("ci").certificate_pem).not_valid_after_utc
        == old.controllers.certificate.not_valid_after_utc
    )
    with pytest.raises(AuthorityExpiredError, match="pki init"):
        old.issue_agent("host-1", HOST_1, [], now=now + timedelta(days=11))


def test_of_a_request_only_the_public_key_counts(estate: Authorities) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host-2")])
    )
    greedy = builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=5), critical=True
    ).add_extension(
        x509.SubjectAlternativeName(
            [x509.DNSName("host-2"), x509.UniformResourceIdentifier(f"urn:uuid:{HOST_2}")]
        ),
        critical=False,
    )
    csr = greedy.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    certificate = parse(estate.sign_agent_request(csr, "host-1", HOST_1, ["10.0.0.1"]).certificate_pem)

    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=host-1"
    assert names_of(certificate).get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:uuid:{HOST_1}"]
    assert names_of(certificate).get_values_for_type(x509.DNSName) == ["host-1"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_requests_with_other_keys_or_foreign_signatures_are_refused(estate: Authorities) -> None:
    good = request_for(ec.generate_private_key(ec.SECP256R1()))
    der = bytearray(x509.load_pem_x509_csr(good.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()

    for csr in (
        request_for(rsa.generate_private_key(65537, 2048)),
        request_for(ec.generate_private_key(ec.SECP384R1())),
        forged,
        "nonsense",
        "\ud800",
        "x" * 20_000,
    ):
        with pytest.raises(CertificateRequestError):
            estate.sign_agent_request(csr, "host-1", HOST_1, [])


def test_a_renewed_certificate_is_for_the_key_of_the_present_one(estate: Authorities, now: datetime) -> None:
    present = estate.issue_agent(
        "host-1", HOST_1, ["10.0.0.1"], now=now - timedelta(days=400)
    ).certificate_pem

    renewed = parse(estate.renew_agent(present, "host-1", HOST_1, ["10.0.0.9"], now=now).certificate_pem)

    assert renewed.public_key() == parse(present).public_key()
    assert [str(ip) for ip in names_of(renewed).get_values_for_type(x509.IPAddress)] == ["10.0.0.9"]
    assert renewed.not_valid_after_utc > now


def test_only_the_host_itself_with_a_certificate_of_this_estate_is_renewed(
    estate: Authorities, authorities: Authorities
) -> None:
    ours = estate.issue_agent("host-1", HOST_1, []).certificate_pem
    foreign = authorities.issue_agent("host-1", HOST_1, []).certificate_pem
    controller = estate.issue_controller("ci").certificate_pem

    for pem, host in ((ours, HOST_2), (foreign, HOST_1), (controller, HOST_1), ("nonsense", HOST_1)):
        with pytest.raises(CertificateRequestError):
            estate.renew_agent(pem, "host-1", host, [])


def test_exported_files_are_private_and_hold_no_authority_key(estate: Authorities, tmp_path: Path) -> None:
    files = write_controller_files(estate, estate.issue_controller("ci"), tmp_path / "ci")
    write_agent_files(estate.issue_agent("host-1", HOST_1, []), tmp_path / "host")

    assert sorted(path.name for path in files.directory.iterdir()) == [
        "agents-ca.pem",
        "controller.key",
        "controller.pem",
        "digest.key",
    ]
    assert sorted(path.name for path in (tmp_path / "host").iterdir()) == [
        "agents-ca.pem",
        "controllers-ca.pem",
        "host.key",
        "host.pem",
    ]
    for directory in (files.directory, tmp_path / "host"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_gnutls_and_openssl_accept_the_agents_chain_on_both_sides(
    estate: Authorities, tmp_path: Path
) -> None:
    write_agent_files(estate.issue_agent("host-1", HOST_1, ["10.0.0.1"]), tmp_path)
    authority, certificate = str(tmp_path / "agents-ca.pem"), str(tmp_path / "host.pem")
    certtool, openssl = shutil.which("certtool"), shutil.which("openssl")
    assert certtool and openssl, "install gnutls-bin and openssl"

    for purpose in ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"):
        subprocess.run(
            [
                *(certtool, "--verify", "--verify-profile", "medium", "--verify-purpose", purpose),
                *(
                    "--verify-hostname",
                    "10.0.0.1",
                    "--load-ca-certificate",
                    authority,
                    "--infile",
                    certificate,
                ),
            ],
            check=True,
            capture_output=True,
        )
    for side in ("sslserver", "sslclient"):
        subprocess.run(
            [openssl, "verify", "-x509_strict", "-purpose", side, "-CAfile", authority, certificate],
            check=True,
            capture_output=True,
        )
