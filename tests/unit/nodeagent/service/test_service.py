"""The whole service over TLS on loopback: real certificates, engine and ledger; fake operations and facts."""

import json
import re
import socket
import ssl
import threading
import time
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest
from enginebench import BOOT, DATA_CENTER, HOLDER, HOST, VM, Bench, encode

from nodeagent.certificates import CertificatePaths, tls_settings
from nodeagent.facts.publishing import Generations, Publisher
from nodeagent.openapi import complete
from nodeagent.service import MAX_BODY_BYTES, Backend, make_app, make_server
from nodeagent.wire.arguments import ResumeVm
from nodeagent.wire.codec import decode
from nodeagent.wire.facts import (
    AgentVersion,
    FactsChange,
    HostCapabilities,
    HostState,
    HostStatistics,
    LeaseFacts,
    StorageContents,
)
from nodeagent.wire.orders import (
    Expectation,
    LeaseGrant,
    LeaseRequest,
    OrderResult,
    Refusal,
    Resync,
    Revocation,
)
from reconciler.pki.authority import create_authorities
from reconciler.pki.contexts import controller_context
from reconciler.pki.export import write_agent_files, write_controller_files

DOMAIN = "aaaaaaaa-0000-4000-8000-000000000001"
START = "aaaaaaaa-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("service-pki")
    authorities = create_authorities(directory / "pki")
    write_agent_files(authorities.issue_agent("h1", HOST, ["127.0.0.1"]), directory / "agent")
    write_agent_files(authorities.issue_agent("h2", DOMAIN, ["127.0.0.1"]), directory / "other")
    files = write_controller_files(authorities, authorities.issue_controller("c1"), directory / "c1")
    context = controller_context(files.certificate, files.key, files.agents_authority, host_uuid=HOST)
    return directory, context


class Agent:
    """A served bench; `state` is what its facts collector finds."""

    def __init__(self, directory, pki):
        certificates, context = pki
        self.bench = Bench(directory)
        self.state = HostState(
            HOST,
            BOOT,
            START,
            "1",
            0,
            0,
            0,
            self.bench.ledger.id,
            LeaseFacts(0),
            HostCapabilities(1 << 30, 1, 1, 1, False),
        )
        self.publisher = Publisher(lambda: self.state, Generations(self.bench.ledger))
        self.publisher.start()
        backend = Backend(
            AgentVersion("1.2.3", ("pause-vm",)),
            START,
            self.bench.engine,
            self.bench.tenure,
            self.publisher,
            lambda: HostStatistics(HOST, BOOT, (7,)),
            lambda domain: StorageContents(DOMAIN, True, True) if domain == DOMAIN else None,
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        port = self.socket.getsockname()[1]
        tls = tls_settings(CertificatePaths(certificates / "agent"))
        self.server = make_server(make_app(backend), "127.0.0.1", port, tls, self.publisher.stop)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self.thread.start()
        self.url = f"https://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, verify=context, timeout=20)

    def close(self):
        self.client.close()
        self.server.handle_exit(15, None)
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.bench.close()

    def post(self, path, value):
        return self.client.post(path, content=value if isinstance(value, bytes) else encode(value))


@pytest.fixture
def agent(tmp_path, pki):
    agent = Agent(tmp_path, pki)
    yield agent
    agent.close()


def test_facts_are_a_state_document_that_is_sent_only_when_it_changed(agent):
    first = agent.client.get("/v1/facts?fresh=true")
    state = decode(first.content, HostState)
    assert state.host_uuid == HOST
    assert state.boottime_ms > 0
    assert state.lease.holder == HOLDER

    again = agent.client.get("/v1/facts", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")

    agent.state = replace(agent.state, maintenance=True)
    changed = agent.client.get("/v1/facts?fresh=true", headers={"If-None-Match": first.headers["ETag"]})
    assert decode(changed.content, HostState).maintenance
    assert decode(changed.content, HostState).generation > state.generation


def test_facts_read_after_a_result_show_what_its_order_did(agent):
    agent.client.get("/v1/facts?fresh=true")
    agent.state = replace(agent.state, maintenance=True)
    promised = agent.publisher.promise()

    state = decode(agent.client.get("/v1/facts").content, HostState)

    assert state.maintenance
    assert state.generation >= promised


def test_the_stream_tells_each_new_generation(agent):
    agent.client.get("/v1/facts?fresh=true")
    with agent.client.stream("GET", "/v1/facts/stream") as stream:
        lines = stream.iter_lines()
        first = decode(next(lines), FactsChange)
        agent.state = replace(agent.state, maintenance=True)
        agent.publisher.poke()
        second = decode(next(lines), FactsChange)

    assert second.generation == first.generation + 1


def test_a_stream_does_not_keep_the_agent_from_ending(agent):
    with agent.client.stream("GET", "/v1/facts/stream") as stream:
        lines = stream.iter_lines()
        next(lines)
        begun = time.monotonic()
        agent.server.handle_exit(15, None)
        list(lines)
        assert time.monotonic() - begun < 2
    agent.thread.join(10)
    assert not agent.thread.is_alive()


def test_statistics_storage_version_and_health_are_served(agent):
    assert decode(agent.client.get("/v1/statistics").content, HostStatistics).cpu_percent == (7,)
    assert decode(agent.client.get(f"/v1/storage/{DOMAIN}").content, StorageContents).master
    assert agent.client.get("/v1/storage/..%2f..%2fetc").status_code == 404
    assert decode(agent.client.get("/v1/version").content, AgentVersion).kinds == ("pause-vm",)
    assert agent.client.get("/v1/healthz").json() == {"status": "ok"}


def test_a_short_order_is_answered_with_its_result_and_found_again_at_its_key(agent):
    order = agent.bench.order(key="3f2a/vm/team a/web-1#migrate.2")

    answer = agent.post("/v1/orders", order)

    assert answer.status_code == 200
    assert decode(answer.content, OrderResult).state == "succeeded"
    followed = agent.client.get(f"/v1/orders/{quote(order.key, safe='')}")
    assert followed.content == answer.content
    assert agent.client.get("/v1/orders/never").status_code == 404


def test_a_long_order_is_followed_until_its_end(agent):
    agent.bench.world.go.clear()
    answer = agent.post("/v1/orders", agent.bench.order())
    assert answer.status_code == 202
    assert agent.client.get("/v1/orders/apply/1?wait_ms=10").status_code == 202
    threading.Timer(0.1, agent.bench.world.go.set).start()

    ended = agent.client.get("/v1/orders/apply/1?wait_ms=20000")

    assert (ended.status_code, decode(ended.content, OrderResult).state) == (200, "succeeded")


def test_leases_revocations_and_resyncs_are_taken(agent):
    grant = decode(agent.post("/v1/leases", LeaseRequest(DATA_CENTER, HOLDER, 2, 30_000)).content, LeaseGrant)
    assert (grant.epoch, grant.ledger_id) == (2, agent.bench.ledger.id)
    assert agent.post("/v1/resync", Resync(DATA_CENTER, HOLDER, 2, grant.ledger_id)).status_code == 204
    revoked = agent.post("/v1/revocations", Revocation("apply/9", HOLDER, 2))
    assert decode(revoked.content, OrderResult).state == "revoked"


def test_whoever_takes_a_new_lease_finds_the_orders_of_the_former_in_the_facts(agent):
    agent.client.get("/v1/facts?fresh=true")
    agent.publisher._collect = lambda: replace(agent.state, orders=agent.bench.ledger.order_facts())
    agent.bench.ledger.accept(agent.bench.order())

    agent.post("/v1/leases", LeaseRequest(DATA_CENTER, HOLDER, 2, 30_000))

    assert [order.key for order in decode(agent.client.get("/v1/facts").content, HostState).orders] == [
        "apply/1"
    ]


def test_refusals_are_conflicts_with_their_reason(agent):
    taken = agent.post("/v1/leases", LeaseRequest(DATA_CENTER, "laptop", 2, 30_000))
    assert taken.status_code == 409
    assert decode(taken.content, Refusal).reason == "held"
    stranger = agent.post("/v1/leases", LeaseRequest(DOMAIN, HOLDER, 2, 30_000))
    assert decode(stranger.content, Refusal).reason == "other-data-center"
    agent.post("/v1/orders", agent.bench.order())
    assert (
        decode(agent.post("/v1/orders", agent.bench.order(ResumeVm(VM))).content, Refusal).reason
        == "key-reused"
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b'{"key": 1}', 400),
        (b"x" * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_what_is_no_order_is_refused_in_words(agent, body, status):
    answer = agent.post("/v1/orders", body)

    assert answer.status_code == status
    assert decode(answer.content, Refusal).reason == "invalid"
    assert agent.bench.world.count() == 0


def test_an_order_with_a_field_that_nobody_knows_is_refused(agent):
    order = json.loads(encode(agent.bench.order()))

    answer = agent.post("/v1/orders", encode({**order, "force": True}))

    assert (answer.status_code, "force" in decode(answer.content, Refusal).summary) == (400, True)


def test_nobody_without_a_controllers_certificate_gets_in(agent, pki):
    other_host = pki[0] / "other"
    for certificate in (None, other_host):
        context = ssl.create_default_context(cafile=str(pki[0] / "agent" / "agents-ca.pem"))
        context.check_hostname = False
        if certificate is not None:
            context.load_cert_chain(certificate / "host.pem", certificate / "host.key")
        with pytest.raises(httpx.TransportError), httpx.Client(verify=context, timeout=5) as client:
            client.get(f"{agent.url}/v1/healthz")


def test_a_fault_in_the_agent_shows_no_traceback(agent, caplog):
    agent.bench.look = lambda subject: 1 / 0
    agent.bench.engine._look = lambda _arguments: agent.bench.look

    answer = agent.post("/v1/orders", agent.bench.order(expects=(Expectation("host", "present", True),)))

    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_the_openapi_document_describes_every_route_and_its_shapes(agent):
    document = agent.client.get("/v1/openapi.json").json()

    order = document["paths"]["/v1/orders"]["post"]
    assert order["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Order")
    assert document["components"]["schemas"]["HostState"]["properties"]["host_uuid"]["pattern"]
    assert "StartVm" in document["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    assert complete({})["components"]["schemas"]["Refusal"]
