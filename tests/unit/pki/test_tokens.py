"""Tokens: good once, for one host, until their end; racing users get one winner."""

import json
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nodeagent.enrolment import EnrolmentError, decode_token
from reconciler.pki.authority import Authorities
from reconciler.pki.errors import AuthorityFileError, CertificateRequestError, PkiError, TokenRefusedError
from reconciler.pki.tokens import consume_token, create_token, list_tokens

from .conftest import HOST_1

SERVICE = "192.0.2.1:54331"


def token_for(authorities: Authorities, now: datetime, lifetime: timedelta = timedelta(hours=1)) -> str:
    return create_token(authorities, SERVICE, "host-1", HOST_1, ["10.0.0.1"], now=now, lifetime=lifetime)


def test_the_host_reads_what_the_operator_was_given(authorities: Authorities, now: datetime) -> None:
    text = token_for(authorities, now)
    token = decode_token(f"  {text}\n")

    assert text.isascii() and text.isprintable() and " " not in text
    assert (token.service, token.authority) == (SERVICE, authorities.fingerprint)
    assert (token.host_name, token.host_uuid, token.addresses) == ("host-1", HOST_1, ("10.0.0.1",))
    assert token.expires == int((now + timedelta(hours=1)).timestamp())
    assert token.secret not in repr(token)


def test_the_register_holds_no_secret_and_is_private(authorities: Authorities, now: datetime) -> None:
    secret = decode_token(token_for(authorities, now)).secret
    register = authorities.directory / "tokens.json"

    assert secret not in register.read_text()
    assert stat.S_IMODE(register.stat().st_mode) == 0o600


def test_a_token_is_good_once(authorities: Authorities, now: datetime) -> None:
    secret = decode_token(token_for(authorities, now)).secret

    assert consume_token(authorities.directory, secret, now=now).host_name == "host-1"
    with pytest.raises(TokenRefusedError, match="used before"):
        consume_token(authorities.directory, secret, now=now)


def test_an_expired_token_is_refused_and_stays_unused(authorities: Authorities, now: datetime) -> None:
    secret = decode_token(token_for(authorities, now)).secret

    with pytest.raises(TokenRefusedError, match="expired"):
        consume_token(authorities.directory, secret, now=now + timedelta(hours=1))
    assert [record.used for record in list_tokens(authorities.directory)] == [None]


def test_an_unknown_token_is_refused(authorities: Authorities, now: datetime) -> None:
    for secret in ("", "guess", "\ud800"):
        with pytest.raises(TokenRefusedError, match="not known"):
            consume_token(authorities.directory, secret, now=now)


def test_of_racing_threads_exactly_one_wins(authorities: Authorities, now: datetime) -> None:
    secret = decode_token(token_for(authorities, now)).secret
    together = threading.Barrier(8)

    def try_it(_: int) -> bool:
        together.wait(10)
        try:
            consume_token(authorities.directory, secret, now=now)
        except TokenRefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_it, range(8))) == 1


def test_of_racing_processes_exactly_one_wins(authorities: Authorities, now: datetime) -> None:
    secret = decode_token(token_for(authorities, now)).secret
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC;"
        "from reconciler.pki.tokens import consume_token; sys.stdin.readline();"
        f"consume_token(Path({str(authorities.directory)!r}), {secret!r}, now=datetime.now(UTC))"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"go\n")
        racer.stdin.flush()

    assert sorted(racer.wait(60) == 0 for racer in racers) == [False, False, True]
    for racer in racers:
        racer.communicate()


def test_tokens_made_at_the_same_time_are_all_kept(authorities: Authorities, now: datetime) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: token_for(authorities, now), range(16)))

    for text in texts:
        consume_token(authorities.directory, decode_token(text).secret, now=now)
    assert len(list_tokens(authorities.directory)) == 16


def test_the_register_forgets_tokens_a_week_after_their_end(authorities: Authorities, now: datetime) -> None:
    token_for(authorities, now - timedelta(days=8))
    token_for(authorities, now - timedelta(days=6))
    token_for(authorities, now)

    assert len(list_tokens(authorities.directory)) == 2


def test_a_broken_register_is_refused_by_name_and_kept(authorities: Authorities, now: datetime) -> None:
    register = authorities.directory / "tokens.json"
    register.touch(mode=0o600)
    for broken in (b"", b"[]", b'{"tokens": [{}]}', b"\xff", b"[" * 100_000):
        register.write_bytes(broken)
        with pytest.raises(AuthorityFileError, match="remove the file"):
            token_for(authorities, now)
        assert register.read_bytes() == broken


@pytest.mark.parametrize(
    "service",
    ["", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "fd00::1:54331", "a b:1", "https://x:1", "[x]:1"],
)
def test_a_service_address_that_no_host_could_reach_is_refused(
    authorities: Authorities, now: datetime, service: str
) -> None:
    with pytest.raises(CertificateRequestError):
        create_token(authorities, service, "host-1", HOST_1, [], now=now)
    assert list_tokens(authorities.directory) == ()


@pytest.mark.parametrize("service", ["192.0.2.1:54331", "[fd00::1]:54331", "pki.example.org:443"])
def test_names_and_both_kinds_of_ip_address_are_service_addresses(
    authorities: Authorities, now: datetime, service: str
) -> None:
    assert decode_token(create_token(authorities, service, "host-1", HOST_1, [], now=now)).service == service


def test_a_token_for_what_no_certificate_could_hold_is_not_made(
    authorities: Authorities, now: datetime
) -> None:
    for name, host, address in (("Bad", HOST_1, "10.0.0.1"), ("a", "no", "10.0.0.1"), ("a", HOST_1, "*.x")):
        with pytest.raises(PkiError):
            create_token(authorities, SERVICE, name, host, [address], now=now)


def test_a_text_that_is_no_whole_token_is_refused_without_quoting_it(
    authorities: Authorities, now: datetime
) -> None:
    text = token_for(authorities, now)
    alien = json.dumps({"host_name": "x"})

    for broken in (
        "",
        "ostler1.",
        text[:-9],
        text[7:],
        "ostler1." + "é",
        "ostler1.!!",
        alien,
        "ostler1." + "A" * 40_000,
    ):
        with pytest.raises(EnrolmentError) as caught:
            decode_token(broken)
        assert "no whole enrolment token" in caught.value.summary
        assert caught.value.__cause__ is None


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, now: datetime) -> None:
    with pytest.raises(AuthorityFileError, match=str(tmp_path)):
        consume_token(tmp_path / "missing", "x", now=now)
