"""Hosts enrol over a real TLS connection; hostile hosts and hostile services get nothing."""

import asyncio
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from nodeagent.certificates import CertificatePaths, certificate_problems, stage_new_key
from nodeagent.enrolment import EnrolmentError, decode_token, enrol
from nodeagent.wire.codec import encode
from reconciler.pki.authority import ENROLMENT_SERVER_NAME, Authorities, create_authorities
from reconciler.pki.service import MAX_CONNECTIONS, answer_enrolment, open_listener, serve_enrolment
from reconciler.pki.tokens import create_token, list_tokens

from .conftest import HOST_1, HOST_2, write_pair

LIMIT_S = 2.0


@contextmanager
def serving(authorities: Authorities) -> Iterator[str]:
    """The enrolment service in a thread of its own; yields its address."""
    listener = open_listener("127.0.0.1", 0)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    loop = asyncio.new_event_loop()
    service = loop.create_task(serve_enrolment(authorities, listener, limit_s=LIMIT_S))

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop), pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(service)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(service.cancel)
        thread.join(10)
        assert not thread.is_alive()
        assert listener.fileno() == -1


@pytest.fixture
def service(authorities: Authorities) -> Iterator[str]:
    with serving(authorities) as address:
        yield address


def token_for(
    authorities: Authorities, service: str, now: datetime, name: str = "host-1", uuid: str = HOST_1
) -> str:
    return create_token(authorities, service, name, uuid, ["127.0.0.1"], now=now)


def talk(service: str, request: bytes, limit_s: float = 10) -> bytes:
    """Everything that the service answers to these bytes, over TLS."""
    host, _, port = service.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, int(port)), timeout=limit_s) as raw,
        context.wrap_socket(raw, server_hostname=ENROLMENT_SERVER_NAME) as connection,
    ):
        connection.sendall(request)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except (ssl.SSLError, ConnectionError):
            pass
        return answer


def test_a_host_with_a_token_gets_a_certificate_for_a_key_that_stays_there(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    paths = enrol(token_for(authorities, service, now), tmp_path / "host", ["127.0.0.1"])

    assert certificate_problems(paths, now) == ()
    assert stat.S_IMODE(paths.directory.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths.directory.iterdir()} == {
        "host.pem": 0o600,
        "host.key": 0o600,
        "controllers-ca.pem": 0o600,
        "agents-ca.pem": 0o600,
    }
    assert paths.controllers_authority.read_text() == authorities.controllers.pem
    assert paths.agents_authority.read_text() == authorities.agents.pem


def test_a_used_token_is_refused_and_what_was_there_stays(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    token = token_for(authorities, service, now)
    paths = enrol(token, tmp_path / "host")
    before = paths.certificate.read_bytes()

    with pytest.raises(EnrolmentError, match="used before"):
        enrol(token, tmp_path / "other")
    with pytest.raises(EnrolmentError, match="used before"):
        enrol(token, tmp_path / "host")
    assert paths.certificate.read_bytes() == before
    assert certificate_problems(paths, now) == ()


def test_of_hosts_racing_with_one_token_exactly_one_is_enrolled(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    token = token_for(authorities, service, now)
    together = threading.Barrier(4)

    def try_it(number: int) -> bool:
        together.wait(10)
        try:
            enrol(token, tmp_path / str(number))
        except EnrolmentError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(try_it, range(4))) == 1


def test_an_expired_token_is_refused_by_the_host_and_by_the_service(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    token = token_for(authorities, service, now - timedelta(hours=2))

    with pytest.raises(EnrolmentError, match="the token expired at"):
        enrol(token, tmp_path / "host")
    with pytest.raises(EnrolmentError, match="refused: the token has expired"):
        enrol(token, tmp_path / "host", now=now - timedelta(hours=2))  # a host whose clock is behind
    assert not CertificatePaths(tmp_path / "host").certificate.exists()


def test_a_service_with_another_authority_learns_no_secret(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    foreign = create_authorities(tmp_path / "foreign")
    token = token_for(foreign, service, now)

    with pytest.raises(EnrolmentError, match="another authority"):
        enrol(token, tmp_path / "host")
    assert [record.used for record in list_tokens(foreign.directory)] == [None]


@contextmanager
def impostor(context: ssl.SSLContext, authority: str) -> Iterator[tuple[str, list[bytes]]]:
    """Someone in between: shows `authority` to everyone; yields its address and what was sent to it over TLS."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    body = encode({"authority": authority})

    def run() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(accepted, server_side=True) as connection:
                    heard.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)
            except (ssl.SSLError, ConnectionError):
                pass

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def test_someone_in_between_who_adds_an_authority_of_his_own_learns_no_secret(
    authorities: Authorities, tmp_path: Path, now: datetime
) -> None:
    foreign = create_authorities(tmp_path / "foreign")
    certificate, key = write_pair(tmp_path / "pair", foreign.issue_enrolment_server())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    with impostor(context, authorities.controllers.pem + foreign.controllers.pem) as (address, heard):
        token = token_for(authorities, address, now)
        with pytest.raises(EnrolmentError, match="could not be verified"):
            enrol(token, tmp_path / "host")

    assert len(heard) == 1
    assert not any(decode_token(token).secret.encode() in said for said in heard)


@pytest.mark.parametrize("role", ["host", "controller"])
def test_no_enrolled_host_and_no_controller_can_pose_as_the_service(
    authorities: Authorities, tmp_path: Path, now: datetime, role: str
) -> None:
    issued = (
        authorities.issue_agent("host-2", HOST_2, [ENROLMENT_SERVER_NAME])
        if role == "host"
        else authorities.issue_controller("enrolment")
    )
    certificate, key = write_pair(tmp_path / "pair", issued)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    with impostor(context, authorities.controllers.pem) as (address, heard):
        token = token_for(authorities, address, now)
        with pytest.raises(EnrolmentError, match="could not be verified"):
            enrol(token, tmp_path / "host")

    assert not any(decode_token(token).secret.encode() in said for said in heard)


def test_an_address_that_the_token_lacks_is_refused_before_the_token_is_used(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    token = token_for(authorities, service, now)

    with pytest.raises(EnrolmentError, match=r"does not cover this host's address 10\.9\.9\.9"):
        enrol(token, tmp_path / "host", ["127.0.0.1", "10.9.9.9"])
    enrol(token, tmp_path / "host", ["127.0.0.1"])


def test_an_enrolled_host_does_not_turn_into_another(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    enrol(token_for(authorities, service, now), tmp_path / "host")

    with pytest.raises(EnrolmentError, match=f"is enrolled as {HOST_1}"):
        enrol(token_for(authorities, service, now, "host-2", HOST_2), tmp_path / "host")


def test_a_host_enrols_again_with_a_new_key(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    paths = enrol(token_for(authorities, service, now), tmp_path / "host")
    before = paths.key.read_bytes()

    enrol(token_for(authorities, service, now), tmp_path / "host")

    assert paths.key.read_bytes() != before
    assert certificate_problems(paths, now) == ()


def test_a_service_that_is_not_there_is_named(
    authorities: Authorities, tmp_path: Path, now: datetime
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"

        with pytest.raises(EnrolmentError, match=f"{address} cannot be reached") as caught:
            enrol(token_for(authorities, address, now), tmp_path / "host")
    assert "ostler pki serve" in caught.value.action


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET  /v1/authority HTTP/1.1\r\n\r\n",
        b"\xff\xfe /x HTTP/1.1\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: 40000\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b'POST /v1/enrol HTTP/1.1\r\nContent-Length: 4\r\n\r\n"\xff\xff"',
        b"POST /v1/enrol HTTP/1.1\r\nContent-Length: 30000\r\n\r\n" + b"[" * 30000,
        b"X" * 20_000,
    ],
)
def test_nonsense_gets_a_short_refusal(service: str, request_bytes: bytes) -> None:
    answer = talk(service, request_bytes)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
    assert b'{"error":' in answer


def test_a_connection_that_dawdles_is_ended(service: str) -> None:
    started = time.monotonic()

    assert talk(service, b"POST /v1/enrol HTTP/1.1\r\nContent-Length: 100\r\n\r\n{") == b""
    assert LIMIT_S / 2 < time.monotonic() - started < LIMIT_S + 5


def test_dawdlers_delay_a_host_but_do_not_keep_it_out(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime
) -> None:
    host, _, port = service.rpartition(":")
    dawdlers = [socket.create_connection((host, int(port))) for _ in range(MAX_CONNECTIONS + 10)]
    try:
        paths = enrol(token_for(authorities, service, now), tmp_path / "host")
    finally:
        for dawdler in dawdlers:
            dawdler.close()

    assert certificate_problems(paths, now) == ()


def test_no_more_connections_are_accepted_than_there_are_places(authorities: Authorities) -> None:
    def served() -> int:
        return sum(task.get_name() == "enrolment connection" for task in asyncio.all_tasks())

    async def run() -> int:
        listener = open_listener("127.0.0.1", 0)
        service = asyncio.create_task(serve_enrolment(authorities, listener))
        callers = [socket.create_connection(listener.getsockname()) for _ in range(MAX_CONNECTIONS + 10)]
        async with asyncio.timeout(10):
            while served() < MAX_CONNECTIONS:
                await asyncio.sleep(0.01)
        for _ in range(1000):  # turns of the loop in which more could be accepted
            await asyncio.sleep(0)
        most = served()
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)
        for caller in callers:
            caller.close()
        return most

    assert asyncio.run(run()) == MAX_CONNECTIONS


def test_a_request_that_cannot_be_signed_leaves_the_token_unused(
    authorities: Authorities, tmp_path: Path, now: datetime
) -> None:
    secret = decode_token(token_for(authorities, "192.0.2.1:1", now)).secret
    good = stage_new_key(CertificatePaths(tmp_path / "host"), "host-1")

    for body in (
        encode({"secret": secret, "request": "nonsense"}),
        encode({"secret": secret}),
        encode({"secret": secret, "request": good, "addresses": ["10.0.0.9"]}),
        encode({"secret": 1, "request": good}),
    ):
        assert answer_enrolment(authorities, body, now=now)[0] == HTTPStatus.BAD_REQUEST
    assert (
        answer_enrolment(authorities, encode({"secret": secret, "request": good}), now=now)[0]
        == HTTPStatus.OK
    )


def test_faults_of_the_service_are_not_told_in_detail(
    authorities: Authorities, tmp_path: Path, now: datetime
) -> None:
    good = stage_new_key(CertificatePaths(tmp_path / "host"), "host-1")
    (authorities.directory / "tokens.json").write_text("broken")

    status, refusal = answer_enrolment(authorities, encode({"secret": "x", "request": good}), now=now)

    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert str(authorities.directory) not in repr(refusal)


def test_the_secret_is_in_no_log(
    authorities: Authorities, service: str, tmp_path: Path, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    token = token_for(authorities, service, now)
    with caplog.at_level("DEBUG"):
        enrol(token, tmp_path / "host")
        with pytest.raises(EnrolmentError) as caught:
            enrol(token, tmp_path / "host")

    assert "host/host-1" in caplog.text
    for text in (caplog.text, str(caught.value), caught.value.action):
        assert decode_token(token).secret not in text
