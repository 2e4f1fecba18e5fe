"""Links over real TLS on loopback: what is an answer, what a refusal, what silence, and what a liar cannot do."""

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from nodeagent.certificates import CertificatePaths, harden_context, tls_settings
from nodeagent.wire.codec import encode
from nodeagent.wire.facts import FactsChange
from nodeagent.wire.orders import LeaseGrant, LeaseRequest, OrderResult, Refusal
from reconciler.agentlink.https import HttpsLink, connect_fleet
from reconciler.agentlink.protocol import (
    AnswerRefusedError,
    HostUnreachableError,
    NotAskedError,
    OrderRefusedError,
)
from reconciler.agentlink.transport import HostAddress, Limits
from reconciler.pki.authority import Authorities, create_authorities
from reconciler.pki.contexts import controller_context
from reconciler.pki.export import write_agent_files, write_controller_files
from tests.fakes.fleet import DATA_CENTER, FakeAgent, uuid_of

HOST = "11111111-2222-4333-8444-555555555501"
OTHER = "11111111-2222-4333-8444-555555555502"
QUICK = Limits(connect_s=3.0, quick_s=3.0, storage_s=3.0, silence_s=3.0, body_bytes=100_000)

Reply = Callable[[dict[str, Any], bytes], Awaitable[tuple[int, dict[str, str], bytes]]]


@dataclass
class Application:
    """An ASGI application that answers what a test says, and counts requests and connections."""

    reply: Reply
    requests: list[str] = field(default_factory=list)
    clients: set[int] = field(default_factory=set)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        raw, query = scope["raw_path"].decode(), scope["query_string"].decode()
        self.requests.append(f"{scope['method']} {raw}{'?' + query if query else ''}")
        self.clients.add(scope["client"][1])
        status, headers, content = await self.reply(scope, bytes(body))
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": content})


def always(status: int, value: Any, **headers: str) -> Reply:
    content = value if isinstance(value, bytes) else encode(value)

    async def reply(_scope: dict[str, Any], _body: bytes) -> tuple[int, dict[str, str], bytes]:
        return status, headers, content

    return reply


@asynccontextmanager
async def serving(application: Any, directory: Path) -> AsyncIterator[int]:
    """The application behind mutual TLS as the agent has it; yields its port."""
    config = uvicorn.Config(
        application, log_config=None, lifespan="off", timeout_graceful_shutdown=1, **tls_settings(CertificatePaths(directory))
    )  # fmt: skip
    config.load()
    assert config.ssl is not None
    harden_context(config.ssl)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(10):
                while not server.started:
                    await asyncio.sleep(0.01)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            await task


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return create_authorities(tmp_path_factory.mktemp("estate") / "pki")


@pytest.fixture
def agent_files(estate: Authorities, tmp_path: Path) -> Path:
    write_agent_files(estate.issue_agent("host-1", HOST, ["127.0.0.1"]), tmp_path / "agent")
    return tmp_path / "agent"


def context_of(estate: Authorities, directory: Path, host: str = HOST) -> ssl.SSLContext:
    files = write_controller_files(estate, estate.issue_controller("ci"), directory)
    return controller_context(files.certificate, files.key, files.agents_authority, host_uuid=host)


@dataclass
class Wire:
    """How a test speaks to an application over TLS."""

    estate: Authorities
    agent_files: Path
    tmp_path: Path

    def run(
        self,
        reply: Reply,
        talk: Callable[[HttpsLink, Application], Awaitable[Any]],
        *,
        host: str = HOST,
        limits: Limits = QUICK,
        context: ssl.SSLContext | None = None,
    ) -> Any:
        async def main() -> Any:
            application = Application(reply)
            async with serving(application, self.agent_files) as port:
                made = context or context_of(self.estate, self.tmp_path / "controller", host)
                address = HostAddress("host/h1", host, "127.0.0.1", port)
                link = HttpsLink(address, lambda: made, limits)
                try:
                    return await talk(link, application)
                finally:
                    await link.close()

        return asyncio.run(main())


@pytest.fixture
def wire(estate: Authorities, agent_files: Path, tmp_path: Path) -> Wire:
    return Wire(estate, agent_files, tmp_path)


def state_of(generation: int = 1) -> bytes:
    agent = FakeAgent("host/h1", HOST)
    agent.generation = generation
    return encode(agent.document())


async def ask(link: HttpsLink, _application: Application) -> Any:
    return await link.state()


def test_a_state_document_arrives_over_one_kept_connection(wire: Wire) -> None:
    async def talk(link: HttpsLink, application: Application) -> int:
        for _ in range(5):
            state = await link.state()
            assert state is not None
            assert state.host_uuid == HOST
        assert application.requests == ["GET /v1/facts"] * 5
        return len(application.clients)

    assert wire.run(always(200, state_of()), talk) == 1


def test_an_unchanged_document_is_not_sent_again(wire: Wire) -> None:
    seen: list[bytes] = []

    async def reply(scope: dict[str, Any], _body: bytes) -> tuple[int, dict[str, str], bytes]:
        tag = dict(scope["headers"]).get(b"if-none-match", b"")
        seen.append(tag)
        return (304, {}, b"") if tag == b'"l.1"' else (200, {"ETag": '"l.1"'}, state_of())

    async def talk(link: HttpsLink, _application: Application) -> None:
        state = await link.state()
        assert await link.state(state) is None
        assert await link.state() is not None  # who knows nothing gets it whole
        other = FakeAgent("host/h1", HOST)
        other.generation = 7
        assert await link.state(other.document()) is not None

    wire.run(reply, talk)
    assert seen == [b"", b'"l.1"', b"", b""]


def test_a_fresh_document_can_be_asked_for(wire: Wire) -> None:
    async def talk(link: HttpsLink, application: Application) -> list[str]:
        await link.state(fresh=True)
        return application.requests

    assert wire.run(always(200, state_of()), talk) == ["GET /v1/facts?fresh=true"]


def test_another_host_at_the_address_is_refused_before_anything_is_sent(wire: Wire) -> None:
    async def talk(link: HttpsLink, application: Application) -> list[str]:
        with pytest.raises(AnswerRefusedError, match=f"is host {HOST}, not {OTHER}"):
            await link.state()
        return application.requests

    assert wire.run(always(200, state_of()), talk, host=OTHER) == []


def test_a_controller_that_the_agent_does_not_trust_is_refused_not_ignored(
    wire: Wire, tmp_path: Path
) -> None:
    stranger = create_authorities(tmp_path / "stranger")
    files = write_controller_files(stranger, stranger.issue_controller("ci"), tmp_path / "theirs")
    context = controller_context(
        files.certificate, files.key, wire.estate.directory / "agents-ca.pem", host_uuid=HOST
    )

    async def talk(link: HttpsLink, application: Application) -> list[str]:
        with pytest.raises(AnswerRefusedError):
            await link.state()
        return application.requests

    assert wire.run(always(200, state_of()), talk, context=context) == []


def test_an_agents_expired_certificate_is_a_refusal(wire: Wire) -> None:
    past = datetime.now(UTC) - timedelta(days=30)
    expired = wire.estate.issue_agent("host-1", HOST, ["127.0.0.1"], now=past, lifetime=timedelta(days=1))
    write_agent_files(expired, wire.agent_files)

    with pytest.raises(AnswerRefusedError, match="no trust between"):
        wire.run(always(200, state_of()), ask)


def test_a_closed_port_is_silence(wire: Wire) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        context = context_of(wire.estate, wire.tmp_path / "controller")
        link = HttpsLink(HostAddress("host/h1", HOST, "127.0.0.1", port), lambda: context, QUICK)
        with pytest.raises(HostUnreachableError, match="nobody accepts connections"):
            await link.state()

    asyncio.run(main())


def test_a_port_that_accepts_and_says_nothing_is_silence_within_the_limit(wire: Wire) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        context = context_of(wire.estate, wire.tmp_path / "controller")
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = HostAddress("host/h1", HOST, "127.0.0.1", listening.getsockname()[1])
            link, begin = HttpsLink(address, lambda: context, QUICK), loop.time()
            with pytest.raises(HostUnreachableError):
                await link.state()
            return loop.time() - begin

    assert asyncio.run(main()) < 5


def test_something_that_does_not_speak_tls_is_a_refusal(wire: Wire) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 20)
        await writer.drain()

    async def main() -> None:
        context = context_of(wire.estate, wire.tmp_path / "controller")
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            address = HostAddress("host/h1", HOST, "127.0.0.1", server.sockets[0].getsockname()[1])
            link = HttpsLink(address, lambda: context, QUICK)
            with pytest.raises(AnswerRefusedError, match="no trust between"):
                await link.state()
            await link.close()

    asyncio.run(main())


def test_a_name_that_cannot_be_resolved_is_our_own_fault(wire: Wire) -> None:
    async def main() -> None:
        context = context_of(wire.estate, wire.tmp_path / "controller")
        link = HttpsLink(HostAddress("host/h1", HOST, "host-1.invalid", 54330), lambda: context, QUICK)
        with pytest.raises(NotAskedError, match="cannot be resolved"):
            await link.state()

    asyncio.run(main())


def test_a_slow_answer_is_silence_within_the_limit_and_others_are_not_delayed(wire: Wire) -> None:
    async def reply(scope: dict[str, Any], _body: bytes) -> tuple[int, dict[str, str], bytes]:
        if scope["path"].endswith("statistics"):
            await asyncio.sleep(30)
        return 200, {}, state_of()

    async def talk(link: HttpsLink, _application: Application) -> None:
        slow = asyncio.create_task(link.statistics())
        assert await link.state() is not None
        with pytest.raises(HostUnreachableError, match="in time"):
            await slow

    wire.run(reply, talk)


def test_an_answer_over_the_limit_is_refused_without_reading_it_all(wire: Wire) -> None:
    with pytest.raises(AnswerRefusedError, match="longer than 100000 bytes"):
        wire.run(always(200, b"[" * 50_000_000), ask, limits=replace(QUICK, quick_s=30.0))


def test_a_compressed_bomb_stays_packed(wire: Wire) -> None:
    bomb = gzip.compress(b" " * 50_000_000)

    async def reply(_scope: dict[str, Any], _body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {"content-encoding": "gzip"}, bomb

    with pytest.raises(AnswerRefusedError, match="contract"):
        wire.run(reply, ask, limits=replace(QUICK, quick_s=30.0))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"summary": "a fault in ostler-agent"}),
        (404, {"detail": "Not Found"}),
        (302, {}),
        (418, b"\x1b[2Jteapot"),
        (200, b"not json"),
        (200, {"host_uuid": "nonsense"}),
        (409, {"detail": "not a refusal"}),
    ],
)
def test_an_answer_that_no_agent_of_ours_gives_is_a_refusal(wire: Wire, status: int, body: Any) -> None:
    with pytest.raises(AnswerRefusedError) as caught:
        wire.run(always(status, body), ask)

    assert "\x1b" not in str(caught.value)
    assert not caught.value.passing


def test_an_agent_that_has_just_begun_says_that_it_will_do_better(wire: Wire) -> None:
    with pytest.raises(AnswerRefusedError, match="just begun") as caught:
        wire.run(always(503, {"summary": "the agent has just begun", "action": ""}), ask)

    assert caught.value.passing


def test_a_refused_lease_carries_its_refusal(wire: Wire) -> None:
    refusal = Refusal("held", "laptop holds this host", "wait")

    async def talk(link: HttpsLink, _application: Application) -> Refusal:
        with pytest.raises(OrderRefusedError) as caught:
            await link.lease(LeaseRequest(DATA_CENTER, "ci", 1, 30_000))
        return caught.value.refusal

    assert wire.run(always(409, refusal), talk) == refusal


def test_a_lease_goes_out_and_its_grant_comes_back(wire: Wire) -> None:
    grant = LeaseGrant(5, "ci", 30_000, 1, uuid_of(2), uuid_of(3))
    bodies: list[Any] = []

    async def reply(_scope: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:
        bodies.append(json.loads(body))
        return 200, {}, encode(grant)

    async def talk(link: HttpsLink, _application: Application) -> LeaseGrant:
        return await link.lease(LeaseRequest(DATA_CENTER, "ci", 5, 30_000))

    assert wire.run(reply, talk) == grant
    assert bodies[0]["holder"] == "ci"


def test_a_key_with_slashes_is_followed_and_one_never_seen_is_none(wire: Wire) -> None:
    async def reply(scope: dict[str, Any], _body: bytes) -> tuple[int, dict[str, str], bytes]:
        if "never" in scope["path"]:
            return 404, {}, encode({"summary": "order was never taken here"})
        return 202, {}, encode(OrderResult("a1/vm/1#start", "running"))

    async def talk(link: HttpsLink, application: Application) -> list[str]:
        result = await link.follow("a1/vm/1#start", 100)
        assert result is not None
        assert result.state == "running"
        assert await link.follow("never/vm/1#start", 0) is None
        return application.requests

    assert wire.run(reply, talk)[0] == "GET /v1/orders/a1%2Fvm%2F1%23start?wait_ms=100"


def test_a_missing_service_is_no_key_never_seen(wire: Wire) -> None:
    async def talk(link: HttpsLink, _application: Application) -> None:
        with pytest.raises(AnswerRefusedError):
            await link.follow("a1/vm/1#start", 0)

    wire.run(always(404, {"detail": "Not Found"}), talk)


def test_long_waits_do_not_keep_other_questions_waiting(wire: Wire) -> None:
    answered = asyncio.Event()

    async def reply(scope: dict[str, Any], _body: bytes) -> tuple[int, dict[str, str], bytes]:
        if "orders" in scope["path"]:
            await answered.wait()
            return 200, {}, encode(OrderResult("k", "running"))
        return 200, {}, state_of()

    async def talk(link: HttpsLink, _application: Application) -> None:
        followers = [asyncio.create_task(link.follow(f"k{number}", 30_000)) for number in range(60)]
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await link.state()
        answered.set()
        assert {result.state for result in await asyncio.gather(*followers) if result} == {"running"}

    wire.run(reply, talk, limits=Limits(at_once=16))


def test_changes_come_line_by_line_until_silence(wire: Wire) -> None:
    class Stream(Application):
        async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for generation in (4, 5):
                line = encode(FactsChange(uuid_of(1), generation, 1)) + b"\n"
                await send({"type": "http.response.body", "body": line[:10], "more_body": True})
                await send({"type": "http.response.body", "body": line[10:], "more_body": True})
            await asyncio.sleep(20)

    async def main() -> None:
        context = context_of(wire.estate, wire.tmp_path / "controller")
        async with serving(Stream(always(200, b"")), wire.agent_files) as port:
            link = HttpsLink(HostAddress("host/h1", HOST, "127.0.0.1", port), lambda: context, QUICK)
            seen = []
            with pytest.raises(HostUnreachableError):
                async for generation in link.changes():
                    seen.append(generation)
            assert seen == [4, 5]
            await link.close()

    asyncio.run(main())


def test_a_fleet_has_a_link_for_each_host_and_closes_them(wire: Wire) -> None:
    async def main() -> None:
        async with serving(Application(always(200, state_of())), wire.agent_files) as port:
            addresses = [HostAddress(f"host/h{number}", HOST, "127.0.0.1", port) for number in (1, 2)]
            made: list[str] = []

            def context(host: HostAddress) -> ssl.SSLContext:
                made.append(host.id)
                return context_of(wire.estate, wire.tmp_path / "controller")

            async with connect_fleet(addresses, context, QUICK) as fleet:
                assert list(fleet) == ["host/h1", "host/h2"]
                assert await fleet["host/h2"].state() is not None
            assert made == ["host/h2"]

    asyncio.run(main())


def test_an_ipv6_address_is_written_as_urls_want_it() -> None:
    assert HostAddress("host/h1", HOST, "2001:db8::1", 54330).url == "https://[2001:db8::1]:54330"
