"""A plan over HTTPS to the agent's own service, engine and ledger: both sides of the contract, as they are."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.certificates import CertificatePaths, tls_settings
from nodeagent.facts.publishing import Generations, Publisher
from nodeagent.service import Backend, make_app, make_server
from nodeagent.wire.facts import AgentVersion, HostCapabilities, HostState, HostStatistics, LeaseFacts
from nodeagent.wire.orders import Expectation
from reconciler.agentlink.gathering import HostName, gather
from reconciler.agentlink.https import connect_fleet
from reconciler.agentlink.protocol import Fleet
from reconciler.agentlink.transport import HostAddress
from reconciler.execution.leases import Leases
from reconciler.execution.run import Applier, PlanRun, Site, Ticket
from reconciler.execution.settling import hosts_to_ask, settle
from reconciler.model.outcome import ApplyOutcome
from reconciler.model.plan import Plan
from reconciler.pki.authority import create_authorities
from reconciler.pki.contexts import controller_context
from reconciler.pki.export import ControllerFiles, write_agent_files, write_controller_files
from reconciler.store.journal import BegunStep
from reconciler.store.store import Store, open_store
from tests.unit.nodeagent.service.enginebench import BOOT, DATA_CENTER, HOST, VM, Bench

from .conftest import make_step, states

START = "aaaaaaaa-0000-4000-8000-000000000002"


class RealAgent:
    """The service on loopback, with a new ledger; only what operations do to guests is fake."""

    def __init__(self, directory: Path) -> None:
        authorities = create_authorities(directory / "pki")
        write_agent_files(authorities.issue_agent("h1", HOST, ["127.0.0.1"]), directory / "agent")
        self.files: ControllerFiles = write_controller_files(
            authorities, authorities.issue_controller("ci"), directory / "ci"
        )
        (directory / "state").mkdir()
        self.bench: Any = Bench(directory / "state", ready=False)
        self.publisher = Publisher(self.collect, Generations(self.bench.ledger))
        self.publisher.start()
        backend = Backend(
            AgentVersion("1", ("pause-vm", "resume-vm")),
            START,
            self.bench.engine,
            self.bench.tenure,
            self.publisher,
            lambda: HostStatistics(HOST, BOOT),
            lambda _domain: None,
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        tls = tls_settings(CertificatePaths(directory / "agent"))
        self.server = make_server(make_app(backend), "127.0.0.1", self.port, tls, self.publisher.stop)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self.thread.start()

    def collect(self) -> HostState:
        return HostState(
            HOST,
            BOOT,
            START,
            "1",
            0,
            0,
            0,
            self.bench.ledger.id,
            LeaseFacts(0),
            HostCapabilities(1 << 30, 1, 1, 1, kvm=False),
            resync_needed=self.bench.tenure.resync_needed,
            orders=self.bench.ledger.order_facts(),
        )

    def close(self) -> None:
        self.server.handle_exit(15, None)
        self.thread.join(10)
        self.bench.close()

    async def apply(self, store: Store, *steps: Any) -> ApplyOutcome:
        """Gather, settle and carry out, as a command does."""
        address = HostAddress("host/h1", HOST, "127.0.0.1", self.port)
        async with connect_fleet([address], self.context) as fleet:
            gathered = await gather(fleet, [HostName("host/h1", HOST)], (), data_center="dc/main")
            (report,) = gathered.reports.hosts
            assert report.state is not None, report
            known = {"host/h1": report.state}
            await self.settle(store, fleet, known)
            plan = Plan("test", "dc/main", DATA_CENTER, steps=steps)
            site = Site(fleet, {"host/h1": HOST}, known)
            ticket = Ticket(f"a{len(store.applies.latest())}", "p", "d", "{}")
            run = PlanRun(plan, ticket, site=site, applier=Applier(store.id), store=store)
            return await run.run()

    def context(self, host: HostAddress) -> Any:
        files = self.files
        return controller_context(files.certificate, files.key, files.agents_authority, host_uuid=host.uuid)

    async def settle(self, store: Store, fleet: Fleet, known: dict[str, HostState]) -> None:
        epoch = max(state.lease.epoch for state in known.values())
        leases = Leases(fleet, data_center=DATA_CENTER, holder=store.id, epoch_above=epoch)
        await leases.acquire(hosts_to_ask(store.journal.unsettled(DATA_CENTER), ()), known)
        await settle(store, DATA_CENTER, fleet, leases)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[RealAgent]:
    agent = RealAgent(tmp_path)
    yield agent
    agent.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store.db")


def pause(name: str, *after: str) -> Any:
    return make_step(name, *after, kind="pause-vm", args={"vm": VM})


def test_a_plan_reaches_a_new_agent_and_comes_back_with_its_outputs(agent: RealAgent, store: Store) -> None:
    outcome = asyncio.run(agent.apply(store, pause("1"), pause("2", "1")))

    assert outcome.achieved, outcome
    assert outcome.steps["vm/2#resume"].outputs == {"effects": 2}
    assert agent.bench.world.count() == 2


def test_a_second_apply_takes_a_higher_epoch_and_finds_the_last_orders(
    agent: RealAgent, store: Store
) -> None:
    assert asyncio.run(agent.apply(store, pause("1"))).achieved
    assert asyncio.run(agent.apply(store, pause("1"))).achieved

    assert agent.bench.tenure.facts().epoch == 2
    assert [one.key for one in agent.collect().orders] == ["a1/vm/1#resume"]


def test_a_long_order_is_followed_to_its_end(agent: RealAgent, store: Store) -> None:
    agent.bench.world.go.clear()

    async def main() -> ApplyOutcome:
        asyncio.get_running_loop().call_later(3, agent.bench.world.go.set)
        return await agent.apply(store, pause("1"))

    assert asyncio.run(main()).achieved
    assert agent.bench.world.count() == 1


def test_another_applier_is_refused_while_the_first_has_the_lease(agent: RealAgent, store: Store) -> None:
    agent.bench.take_lease(epoch=7, holder="laptop")

    outcome = asyncio.run(agent.apply(store, pause("1")))

    assert "laptop holds this host" in outcome.refused
    assert agent.bench.world.count() == 0


def test_an_expectation_that_does_not_hold_fails_its_step(agent: RealAgent, store: Store) -> None:
    agent.bench.world.subjects[f"guest/{VM}"] = None
    expecting = replace(pause("1"), expects=(Expectation(f"guest/{VM}", "present", value=True),))

    outcome = asyncio.run(agent.apply(store, expecting, pause("2", "1")))

    assert states(outcome) == {"1": "failed", "2": "skipped"}
    assert "the plan expects True" in outcome.steps["vm/1#resume"].summary


def test_an_order_of_a_killed_process_is_settled_from_the_agents_ledger(
    agent: RealAgent, store: Store
) -> None:
    assert asyncio.run(agent.apply(store, pause("1"))).achieved
    for key in ("a0/vm/1#resume", "never/vm/9#resume"):
        store.journal.begin(BegunStep("killed", key, key, "host/h1", "vm/9", "pause-vm", DATA_CENTER), 0)
    assert len(store.journal.unsettled(DATA_CENTER)) == 1  # the first one has ended already

    assert asyncio.run(agent.apply(store, pause("2"))).achieved
    assert store.journal.unsettled(DATA_CENTER) == ()
    assert agent.bench.engine.follow("never/vm/9#resume", 0).state == "revoked"
