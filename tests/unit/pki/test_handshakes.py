"""Real handshakes over loopback: who is let in, who is turned away, and when."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from nodeagent.certificates import CertificatePaths, harden_context, reload_certificate, tls_settings
from reconciler.pki.authority import Authorities, IssuedCertificate
from reconciler.pki.contexts import controller_context, enrolment_context, peer_host_uuid
from reconciler.pki.export import write_agent_files, write_controller_files

from .conftest import HOST_1, HOST_2, greeting, tls_server, write_pair


async def application(scope: object, receive: object, send: object) -> None:
    """Stands where the agent's service stands; no request reaches it here."""


def agent_server(issued: IssuedCertificate, directory: Path) -> ssl.SSLContext:
    """The context that uvicorn makes of the agent's settings."""
    write_agent_files(issued, directory)
    config = uvicorn.Config(application, log_config=None, **tls_settings(CertificatePaths(directory)))
    config.load()
    assert config.ssl is not None
    harden_context(config.ssl)
    return config.ssl


@pytest.fixture
def agent(estate: Authorities, tmp_path: Path) -> ssl.SSLContext:
    return agent_server(estate.issue_agent("host-1", HOST_1, ["127.0.0.1"]), tmp_path / "agent")


@pytest.fixture
def controller(estate: Authorities, tmp_path: Path) -> Callable[..., ssl.SSLContext]:
    files = write_controller_files(estate, estate.issue_controller("ci"), tmp_path / "ci")

    def context(host_uuid: str | None = HOST_1) -> ssl.SSLContext:
        return controller_context(files.certificate, files.key, files.agents_authority, host_uuid=host_uuid)

    return context


def connect(server: ssl.SSLContext, client: ssl.SSLContext, server_hostname: str = "127.0.0.1") -> bytes:
    async def run() -> bytes:
        async with tls_server(server) as port:
            return await greeting(port, client, server_hostname)

    return asyncio.run(run())


def turned_away(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Whether the server ended the connection unheard; some clients see the alert, some only the end."""
    try:
        return connect(server, client) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def client_of(estate: Authorities, issued: IssuedCertificate, directory: Path) -> ssl.SSLContext:
    certificate, key = write_pair(directory, issued)
    return controller_context(certificate, key, estate.directory / "agents-ca.pem")


def test_a_controller_reaches_the_agent_by_address_and_by_name(
    agent: ssl.SSLContext, controller: Callable[..., ssl.SSLContext]
) -> None:
    assert connect(agent, controller()) == b"welcome\n"
    assert connect(agent, controller(), "host-1") == b"welcome\n"


def test_the_agent_of_another_address_is_refused(
    agent: ssl.SSLContext, controller: Callable[..., ssl.SSLContext]
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        connect(agent, controller(), "127.0.0.2")


def test_another_host_at_the_right_address_is_refused_within_the_handshake(
    agent: ssl.SSLContext, controller: Callable[..., ssl.SSLContext]
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=f"is host {HOST_1}, not {HOST_2}"):
        connect(agent, controller(HOST_2))


def test_the_host_is_checked_for_httpx_and_for_blocking_sockets_too(
    agent: ssl.SSLContext, controller: Callable[..., ssl.SSLContext]
) -> None:
    async def ask(port: int) -> None:
        async with httpx.AsyncClient(verify=controller(HOST_2), trust_env=False) as client:
            await client.get(f"https://127.0.0.1:{port}/v1/facts")

    async def run() -> None:
        async with tls_server(agent) as port:
            with pytest.raises(httpx.ConnectError, match=HOST_2):
                await ask(port)
            await asyncio.to_thread(blocking, port)

    def blocking(port: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            pytest.raises(ssl.SSLCertVerificationError, match=HOST_2),
        ):
            controller(HOST_2).wrap_socket(raw, server_hostname="127.0.0.1")

    asyncio.run(run())


def test_a_host_cannot_command_another_host(
    estate: Authorities, agent: ssl.SSLContext, tmp_path: Path
) -> None:
    other = client_of(estate, estate.issue_agent("host-2", HOST_2, ["127.0.0.1"]), tmp_path / "other")

    assert turned_away(agent, other)


def test_the_enrolment_services_certificate_commands_no_host(
    estate: Authorities, agent: ssl.SSLContext, tmp_path: Path
) -> None:
    service = client_of(estate, estate.issue_enrolment_server(), tmp_path / "service")

    assert turned_away(agent, service)


def test_a_client_without_a_certificate_is_refused(estate: Authorities, agent: ssl.SSLContext) -> None:
    stranger = ssl.create_default_context(cafile=str(estate.directory / "agents-ca.pem"))

    assert turned_away(agent, stranger)


def test_an_expired_controller_is_refused(
    estate: Authorities, agent: ssl.SSLContext, tmp_path: Path, now: datetime
) -> None:
    old = estate.issue_controller("ci", now=now - timedelta(days=2), lifetime=timedelta(days=1))

    assert turned_away(agent, client_of(estate, old, tmp_path / "old"))


def test_an_expired_agent_is_refused(
    estate: Authorities, controller: Callable[..., ssl.SSLContext], tmp_path: Path, now: datetime
) -> None:
    old = estate.issue_agent(
        "host-1", HOST_1, ["127.0.0.1"], now=now - timedelta(days=2), lifetime=timedelta(days=1)
    )

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        connect(agent_server(old, tmp_path / "old"), controller())


def test_an_agent_of_another_estate_is_refused(
    authorities: Authorities, controller: Callable[..., ssl.SSLContext], tmp_path: Path
) -> None:
    foreign = agent_server(authorities.issue_agent("host-1", HOST_1, ["127.0.0.1"]), tmp_path / "foreign")

    with pytest.raises(ssl.SSLCertVerificationError):
        connect(foreign, controller())


def test_a_controller_posing_as_an_agent_is_refused(
    estate: Authorities, controller: Callable[..., ssl.SSLContext], tmp_path: Path
) -> None:
    certificate, key = write_pair(tmp_path / "ci2", estate.issue_controller("ci"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)

    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, controller(), "ci")


def test_tls_1_2_is_refused_by_both_sides(
    agent: ssl.SSLContext, controller: Callable[..., ssl.SSLContext]
) -> None:
    old = controller()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    assert turned_away(agent, old)


def test_a_running_server_shows_a_renewed_certificate(
    estate: Authorities, agent: ssl.SSLContext, controller: Callable[..., ssl.SSLContext], tmp_path: Path
) -> None:
    write_agent_files(estate.issue_agent("host-1", HOST_2, ["127.0.0.1"]), tmp_path / "agent")

    reload_certificate(agent, CertificatePaths(tmp_path / "agent"))

    assert connect(agent, controller(HOST_2)) == b"welcome\n"


def test_a_certificate_names_one_host_or_none(estate: Authorities) -> None:
    agent = ssl.PEM_cert_to_DER_cert(estate.issue_agent("host-1", HOST_1, ["h1.example.org"]).certificate_pem)
    ci = ssl.PEM_cert_to_DER_cert(estate.issue_controller("ci").certificate_pem)

    assert peer_host_uuid(agent) == HOST_1
    assert peer_host_uuid(ci) is None
    assert peer_host_uuid(b"nonsense") is None


def test_the_enrolment_services_key_does_not_stay_on_disk(authorities: Authorities, now: datetime) -> None:
    before = sorted(authorities.directory.iterdir())

    enrolment_context(authorities, now=now)

    assert sorted(authorities.directory.iterdir()) == before
