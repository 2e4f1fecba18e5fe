"""Networks of a host, its maintenance, and its certificate."""

from collections.abc import Iterator

from nodeagent.wire.arguments import (
    CreateNetwork,
    RemoveNetwork,
    RenewCertificate,
    SetMaintenance,
    UpdateNetwork,
)
from nodeagent.wire.orders import Expectation
from reconciler.model.certificates import certificate_digest, certificate_reference
from reconciler.model.change import Change, Verb
from reconciler.model.names import name_of
from reconciler.model.plan import Step
from reconciler.planning.context import PlanContext
from reconciler.planning.steps import make_step


def plan_hosts(context: PlanContext) -> Iterator[Step]:
    """Steps for bridges and maintenance."""
    for change in context.of_verb(Verb.ADD_NETWORK, Verb.UPDATE_NETWORK, Verb.REMOVE_NETWORK):
        yield _network(context, change)
    for change in context.of_verb(Verb.ENTER_MAINTENANCE, Verb.LEAVE_MAINTENANCE):
        entering = change.verb is Verb.ENTER_MAINTENANCE
        yield make_step(
            change,
            SetMaintenance(entering),
            verb=change.verb.value,
            host=str(change.host),
            summary="close the host: no starts, no incoming migrations"
            if entering
            else "open the host again",
        )
    for change in context.of_verb(Verb.RENEW_CERTIFICATE):
        yield _renewal(context, change)


def _renewal(context: PlanContext, change: Change) -> Step:
    """A new certificate, signed when the order is sent; the key stays where it is."""
    state = context.host(str(change.host)).state
    assert state is not None
    assert state.certificate is not None
    reference = certificate_reference(change.object)
    return make_step(
        change,
        RenewCertificate(certificate_digest(state.certificate.pem), reference),
        verb=change.verb.value,
        host=str(change.host),
        summary="renew its certificate, for the key that it has; guests go on",
        secrets=(reference,),
    )


def _network(context: PlanContext, change: Change) -> Step:
    """One bridge on one host."""
    host, name = str(change.host), str(change.subject)
    if change.verb is Verb.REMOVE_NETWORK:
        return _removal(context, change)
    network = context.desired.networks[name]
    bridge = change.fields[0].after if change.verb is Verb.ADD_NETWORK else _bridge_of(context, host, name)
    nic = next((one.nic for one in context.desired.hosts[host].networks if one.network == name), None)
    uplink = f" over {nic}" if nic else ", inside the host only"
    if change.verb is Verb.ADD_NETWORK:
        return make_step(
            change,
            CreateNetwork(name, bridge, network.mtu, nic),
            verb=f"add-network-{name_of(name)}",
            host=host,
            summary=f"make bridge {bridge} for {name}{uplink}, MTU {network.mtu}",
            expects=(Expectation(f"network/{bridge}", "present", value=False),),
        )
    changes = ", ".join(str(one) for one in change.fields)
    return make_step(
        change,
        UpdateNetwork(name, bridge, network.mtu, nic),
        verb=f"update-network-{name_of(name)}",
        host=host,
        summary=f"change bridge {bridge} of {name}: {changes}",
        expects=(Expectation(f"network/{bridge}", "present", value=True),),
    )


def _removal(context: PlanContext, change: Change) -> Step:
    """Removing a bridge that is there."""
    host, name = str(change.host), str(change.subject)
    bridge = _bridge_of(context, host, name)
    return make_step(
        change,
        RemoveNetwork(name, bridge),
        verb=f"remove-network-{name_of(name)}",
        host=host,
        summary=f"remove bridge {bridge} of {name}",
        expects=(Expectation(f"network/{bridge}", "present", value=True),),
    )


def _bridge_of(context: PlanContext, host: str, network: str) -> str:
    """The bridge by which a host has a network now."""
    state = context.host(host).state
    return next(one.bridge for one in state.networks if one.network == network) if state else ""
