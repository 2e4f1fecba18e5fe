"""Agents of lab hosts: reached over mutual TLS, stopped, killed and started apart from their host."""

import http.client
import signal
import ssl

import pytest

from reconciler.lab.model import AGENT_PORT, Lab
from reconciler.lab.power import power_off, power_on
from reconciler.lab.processes import wait_until
from reconciler.lab.services import AGENT, find_service, kill_agent, start_agent, stop_agent
from reconciler.pki.authority import load_authorities
from reconciler.pki.contexts import controller_context
from reconciler.pki.export import write_controller_files


@pytest.fixture(scope="module")
def context(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    authorities = load_authorities(lab.authorities)
    directory = tmp_path_factory.mktemp("controller")
    issued = authorities.issue_controller("tests")
    files = write_controller_files(authorities, issued, directory)
    return controller_context(files.certificate, files.key, files.agents_authority)


def facts_of(lab: Lab, name: str, context: ssl.SSLContext) -> str:
    """The agent's facts as text, once it has collected them."""
    answers: list[str] = []

    def answered() -> bool:
        connection = http.client.HTTPSConnection(
            lab.host(name).address, AGENT_PORT, timeout=30, context=context
        )
        connection.request("GET", "/v1/facts")
        answer = connection.getresponse()
        answers.append(answer.read().decode())
        return answer.status == 200

    assert wait_until(answered, 60), answers[-1]
    return answers[-1]


def test_each_agent_answers_for_its_own_host(lab: Lab, context: ssl.SSLContext) -> None:
    for host in lab.hosts:
        assert host.uuid in facts_of(lab, host.name, context)


def test_a_killed_agent_stays_dead_until_it_is_started(lab: Lab, context: ssl.SSLContext) -> None:
    before = find_service(lab, "h1", AGENT)
    kill_agent(lab, "h1", signal.SIGKILL)
    assert find_service(lab, "h1", AGENT) is None
    start_agent(lab, "h1")

    assert find_service(lab, "h1", AGENT) not in (None, before)
    assert lab.host("h1").uuid in facts_of(lab, "h1", context)


def test_a_stopped_agent_ends_and_starts_again(lab: Lab, context: ssl.SSLContext) -> None:
    stop_agent(lab, "h2")
    assert find_service(lab, "h2", AGENT) is None
    start_agent(lab, "h2")
    assert lab.host("h2").uuid in facts_of(lab, "h2", context)


def test_an_agent_comes_back_with_its_host(lab: Lab, context: ssl.SSLContext) -> None:
    power_off(lab, "h3")
    assert find_service(lab, "h3", AGENT) is None
    power_on(lab, "h3")
    assert lab.host("h3").uuid in facts_of(lab, "h3", context)
