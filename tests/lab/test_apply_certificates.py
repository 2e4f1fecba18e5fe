"""A host's certificate is renewed at two thirds of its life, by a plan, and nobody notices: no guest, no migration."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from reconciler.lab.model import CERTIFICATES_INSIDE, LabHost
from reconciler.pki.authority import load_authorities
from tests.lab.apply_estate import Estate, host_uuids, make_home, wait_for
from tests.lab.conftest import MakeLab

AGENT_PORT, LIBVIRT_PORT = 54330, 16514
SHORT = timedelta(days=10)


@pytest.fixture(scope="module")
def single(make_lab: MakeLab, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """One host with an agent, declared and applied."""
    home = make_home(tmp_path_factory.mktemp("home"))
    lab = make_lab(1, with_agents=True, host_uuids=host_uuids(1), authorities=home / "pki")
    estate = Estate(lab, home, tmp_path_factory.mktemp("estate"))
    estate.reset()
    estate.apply()
    return estate


def certificate_file(host: LabHost) -> Path:
    return host.outside(CERTIFICATES_INSIDE) / "host.pem"


def let_it_age(estate: Estate, host: LabHost, age: timedelta) -> x509.Certificate:
    """The host has a short-lived certificate for its own key, issued so long ago."""
    file = certificate_file(host)
    issued = datetime.now(UTC) - age
    authorities = load_authorities(estate.home / "pki")
    old = authorities.renew_agent(
        file.read_text(), host.name, host.uuid, [host.address], now=issued, lifetime=SHORT
    )
    file.write_text(old.certificate_pem)
    return x509.load_pem_x509_certificate(old.certificate_pem.encode())


def shown_at(host: LabHost, port: int) -> str:
    """The certificate with which a port of the host answers."""
    return ssl.get_server_certificate((host.address, port), timeout=10)


def test_an_ageing_certificate_is_renewed_for_the_same_key_and_no_guest_notices(single: Estate) -> None:
    host = single.lab.hosts[0]
    vm = single.declare_vm("calm")
    single.apply()
    before = single.see(vm)
    young = let_it_age(single, host, SHORT / 2)
    wait_for(
        lambda: shown_at(host, AGENT_PORT) == certificate_file(host).read_text(), "the first certificate"
    )
    single.assert_settled()

    old = let_it_age(single, host, SHORT * 3 / 4)
    wait_for(lambda: single.steps() == ["host/h1#renew-certificate"], "the plan to renew")
    key = certificate_file(host).with_name("host.key").read_bytes()
    single.apply()

    renewed = x509.load_pem_x509_certificate(certificate_file(host).read_bytes())
    assert renewed.public_key() == old.public_key() == young.public_key()
    assert certificate_file(host).with_name("host.key").read_bytes() == key
    assert renewed.not_valid_after_utc > datetime.now(UTC) + timedelta(days=300)
    assert shown_at(host, LIBVIRT_PORT) == certificate_file(host).read_text()
    wait_for(lambda: shown_at(host, AGENT_PORT) == certificate_file(host).read_text(), "the agent to show it")
    single.assert_undisturbed(vm, before)
    single.assert_settled()


def test_an_applier_without_the_authorities_says_who_renews(single: Estate, tmp_path: Path) -> None:
    let_it_age(single, single.lab.hosts[0], SHORT * 3 / 4)
    authorities, aside = single.home / "pki", tmp_path / "pki"
    authorities.rename(aside)
    try:
        alerts = wait_for(lambda: single.plan()[0].alerts, "the alert")
        plan, shown = single.plan()
    finally:
        aside.rename(authorities)

    assert [one.object for one in alerts] == ["host/h1"]
    assert (shown.status, plan.steps) == (0, ())
    assert "ostler pki init" in shown.out
