"""Tells libvirt to read its TLS files again, without disturbing guests, migrations or connections that are there."""

from nodeagent.drivers.command import CommandError, Limits, run_command

DAEMONS = ("libvirtd", "virtproxyd")
"""Whoever listens for TLS: the one daemon of Debian, or the proxy of hosts with a daemon for each driver."""
LIMIT_MS = 10_000


def reload_libvirt() -> None:
    """The certificate, key and authority are read again by whoever listens. Raises CommandError if none of them does."""
    faults = []
    for daemon in DAEMONS:
        try:
            run_command(
                ["virt-admin", "-c", f"{daemon}:///system", "server-update-tls", daemon], Limits(LIMIT_MS)
            )
        except CommandError as error:
            faults.append(error.summary)
        else:
            return
    raise CommandError(
        f"libvirt does not read its renewed certificate: {faults[0]}",
        "install virt-admin (libvirt-clients) and see that libvirtd runs; the agent tries again by itself",
    )
