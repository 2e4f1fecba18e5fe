"""The files that make a host of the lab its own: libvirt's and the agent's configuration, certificates, names.

`power` writes them before each power-on; all but the certificates are written anew.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.lab.model import (
    AGENT_CONFIG_INSIDE,
    AGENT_PORT,
    CERTIFICATES_INSIDE,
    LIBVIRT_TLS_PORT,
    Lab,
    LabHost,
)
from reconciler.pki.authority import Authorities
from reconciler.pki.export import write_agent_files

OWN_DIRECTORIES = (
    "/etc/libvirt",
    "/etc/ostler",
    "/etc/pki",
    "/var/cache/libvirt",
    "/var/lib/libvirt",
    "/var/lib/ostler-agent",
    "/var/log/libvirt",
    "/var/log/ostler",
)

# What libvirt and QEMU look for, and which of the agent's files it is. Links, so that a renewal reaches all.
_TLS_LINKS = {
    "CA/cacert.pem": "agents-ca.pem",
    "libvirt/servercert.pem": "host.pem",
    "libvirt/clientcert.pem": "host.pem",
    "libvirt/private/serverkey.pem": "host.key",
    "libvirt/private/clientkey.pem": "host.key",
    "qemu/ca-cert.pem": "agents-ca.pem",
    "qemu/server-cert.pem": "host.pem",
    "qemu/client-cert.pem": "host.pem",
    "qemu/server-key.pem": "host.key",
    "qemu/client-key.pem": "host.key",
}

_QEMU_CONF = """\
user = "root"
group = "root"
swtpm_user = "root"
swtpm_group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
migrate_tls_x509_cert_dir = "/etc/pki/qemu"
migrate_tls_x509_verify = 1
"""


def write_host_files(lab: Lab, host: LabHost, authorities: Authorities) -> None:
    """Everything a host needs before it is switched on; an existing certificate stays."""
    for inside in OWN_DIRECTORIES:
        host.outside(inside).mkdir(parents=True, exist_ok=True)
    (host.directory / "own-directories").write_text("".join(f"{inside}\n" for inside in OWN_DIRECTORIES))
    host.outside("/etc/libvirt/libvirtd.conf").write_text(libvirtd_conf(host))
    host.outside("/etc/libvirt/qemu.conf").write_text(_QEMU_CONF)
    host.outside(AGENT_CONFIG_INSIDE).write_text(agent_yaml(lab, host))
    _write_certificates(host, authorities)


def write_names(lab: Lab) -> None:
    """The lab's one /etc/hosts, which all hosts see; written in place, because it is bind-mounted."""
    lines = ["127.0.0.1 localhost", *(f"{host.address} {host.name}" for host in lab.hosts)]
    (lab.directory / "etc-hosts").write_text("\n".join(lines) + "\n")


def libvirtd_conf(host: LabHost) -> str:
    """libvirtd.conf of a host: TLS on its address, no plain TCP, its own host uuid."""
    return f"""\
listen_tls = 1
listen_tcp = 0
listen_addr = "{host.address}"
tls_port = "{LIBVIRT_TLS_PORT}"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{host.uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""


def agent_yaml(lab: Lab, host: LabHost) -> str:
    """agent.yaml of a host (JSON, which is YAML)."""
    document: Mapping[str, object] = {
        "host": {"name": host.name, "uuid": host.uuid, "address": host.address},
        "dataCenter": lab.data_center,
        "listen": {"address": host.address, "port": AGENT_PORT},
        "tls": {
            "certificate": f"{CERTIFICATES_INSIDE}/host.pem",
            "key": f"{CERTIFICATES_INSIDE}/host.key",
            "controllersCa": f"{CERTIFICATES_INSIDE}/controllers-ca.pem",
        },
        "stateDir": "/var/lib/ostler-agent",
        "libvirtUri": "qemu:///system",
        "cpuAccounting": "processes",
    }
    return json.dumps(document, indent=2) + "\n"


def _write_certificates(host: LabHost, authorities: Authorities) -> None:
    directory = host.outside(CERTIFICATES_INSIDE)
    if not (directory / "host.pem").exists():
        write_agent_files(authorities.issue_agent(host.name, host.uuid, [host.address]), directory)
    for link, file in _TLS_LINKS.items():
        _link(host.outside(f"/etc/pki/{link}"), Path(CERTIFICATES_INSIDE) / file)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or os.readlink(link) != str(target):  # noqa: PTH115 - the text, not the path it means
        link.unlink(missing_ok=True)
        link.symlink_to(target)
