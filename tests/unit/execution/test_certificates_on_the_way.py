"""Certificates of hosts travel as secrets do, and are made when their order is sent."""

from dataclasses import replace

import pytest

from nodeagent.wire.facts import CertificateFacts
from reconciler.execution.orders import SecretUnavailableError
from reconciler.execution.renewals import with_certificates
from reconciler.model.certificates import certificate_reference
from reconciler.model.desired import DataCenter, Desired, Host, Meta
from tests.fakes.fleet import make_fleet, states_of

HOST = Host(Meta("host/h1", "h1", "d"), "u1", "cluster/main", "10.0.0.1")
DESIRED = Desired(
    DataCenter(Meta("dc/farm", "farm", "d"), "58cfb470-02f3-03d7-0386-0000000003bc"), hosts={"host/h1": HOST}
)
STATES = {
    name: replace(state, certificate=CertificateFacts(f"PEM of {name}", 0, 1))
    for name, state in states_of(make_fleet(2)).items()
}


def secret(reference: str) -> str:
    return f"value of {reference}"


def sign(present: str, host: Host) -> str:
    return f"{host.meta.id} at {host.address} instead of {present}"


def test_a_new_certificate_is_signed_for_the_one_that_the_host_shows() -> None:
    resolve = with_certificates(secret, sign, DESIRED, STATES)

    assert resolve(certificate_reference("host/h1")) == "host/h1 at 10.0.0.1 instead of PEM of host/h1"
    assert resolve("console/password") == "value of console/password"


@pytest.mark.parametrize(
    ("signer", "host", "states"),
    [(None, "host/h1", STATES), (sign, "host/h2", STATES), (sign, "host/h1", {})],
    ids=["without authorities", "of a host that nobody declares", "of a host that is silent"],
)
def test_what_cannot_be_signed_is_refused_with_where_it_can(signer, host, states) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SecretUnavailableError, match="ostler pki init"):
        with_certificates(secret, signer, DESIRED, states)(certificate_reference(host))
