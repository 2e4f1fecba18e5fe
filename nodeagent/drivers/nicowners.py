"""Programs that configure network links by themselves, and the links that they have in hand; read from their files.

`check` asks, because a NIC that such a program holds may get an address, or lose its bridge, at any time.
"""

from pathlib import Path

PROC = Path("/proc")
NETWORK_MANAGER = Path("/run/NetworkManager/devices")
"""One file a link, named by its index; it stays when the program ends."""
NETWORKD = Path("/run/systemd/netif/links")
"""One file a link, named by its index; sd-network reads the same."""


def owner_of(index: int) -> str | None:
    """The program that has the link of this index in hand; None if none is known to."""
    if "managed=true" in _lines(NETWORK_MANAGER / str(index)) and _runs("NetworkManager"):
        return "NetworkManager"
    states = [line for line in _lines(NETWORKD / str(index)) if line.startswith("ADMIN_STATE=")]
    if states and states[0] not in ("ADMIN_STATE=unmanaged", "ADMIN_STATE=initialized"):
        return "systemd-networkd"
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _runs(name: str) -> bool:
    return any(_lines(path) == [name] for path in PROC.glob("[0-9]*/comm"))
