"""Whether a host can have a logical network: placement reads it to find hosts, the diff to say what is in the way."""

from nodeagent.wire.facts import HostState


def obstacle_to_network(state: HostState, network: str, bridge: str, nic: str | None) -> str | None:
    """Why `network` cannot be made on a host that does not have it, None if it can, or is there already.

    bridge: the name it is to have; nic: its declared uplink.
    """
    if any(one.network == network for one in state.networks):
        return None
    for one in state.networks:
        if one.network is None and one.bridge == bridge:
            return f"bridge {bridge} exists and is not Ostler's"
        if one.network is None and nic is not None and one.nic == nic:
            return f"NIC {nic} carries bridge {one.bridge}, which is not Ostler's"
    if nic is not None and state.nics and nic not in state.nics:
        return f"there is no NIC {nic}"
    return None
