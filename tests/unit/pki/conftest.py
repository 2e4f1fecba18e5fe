"""An estate's authorities, made once, and TLS servers on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.pki.authority import Authorities, IssuedCertificate, create_authorities

HOST_1 = "11111111-2222-4333-8444-555555555501"
HOST_2 = "11111111-2222-4333-8444-555555555502"


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    """Authorities that tests only issue from."""
    return create_authorities(tmp_path_factory.mktemp("estate") / "pki")


@pytest.fixture
def authorities(tmp_path: Path) -> Authorities:
    """Authorities with a register of tokens of their own."""
    return create_authorities(tmp_path / "pki")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


def write_pair(directory: Path, issued: IssuedCertificate) -> tuple[Path, Path]:
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = directory / "certificate.pem", directory / "certificate.key"
    certificate.write_text(issued.certificate_pem)
    key.touch(mode=0o600)
    key.write_text(issued.key_pem)
    return certificate, key


@asynccontextmanager
async def tls_server(context: ssl.SSLContext) -> AsyncIterator[int]:
    """A server that greets whoever the handshake let in; yields its port on 127.0.0.1."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def greeting(port: int, context: ssl.SSLContext, server_hostname: str = "127.0.0.1") -> bytes:
    """What the server on `port` says after the handshake; in TLS 1.3 a refused client learns of it by reading."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=server_hostname
        )
        try:
            return await reader.readline()
        finally:
            writer.transport.abort()
