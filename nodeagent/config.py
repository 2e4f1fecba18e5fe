"""agent.yaml into an AgentConfig: strict, bounded, every fault with the field that has it.

`main` reads it once at start; nothing else in the agent knows the file.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from nodeagent.certificates import CertificatePaths
from nodeagent.operations.contract import HostPaths
from nodeagent.wire.types import AbsolutePath, Name, Uuid

DEFAULT_PATH = Path("/etc/ostler/agent.yaml")
DEFAULT_PORT = 54330
MAX_BYTES = 64 * 1024

Port = Annotated[int, Meta(ge=1, le=65535)]
Address = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:-]+$")]


class ConfigError(Exception):
    """agent.yaml cannot be used; the message names the file, the field and what is wrong with it."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A part of agent.yaml: camel case in the file, unknown fields refused."""


class HostSection(_Section, frozen=True):
    """Who this host is. address: where other hosts reach it for migration; without it, listen.address or the name."""

    name: Name
    uuid: Uuid
    address: Address | None = None


class ListenSection(_Section, frozen=True):
    """Where the service listens."""

    address: Address = "0.0.0.0"  # noqa: S104 - controllers reach the agent over the network; TLS guards it
    port: Port = DEFAULT_PORT


class TlsSection(_Section, frozen=True):
    """PEM files in one directory: this host's certificate and key, and the authority whose controllers it obeys."""

    certificate: AbsolutePath
    key: AbsolutePath
    controllers_ca: AbsolutePath


class AgentConfig(_Section, frozen=True):
    """The whole file. data_center: the only one this host takes orders from; None until a controller claims it.

    cpu_accounting: `processes` counts this host's own processes only, where several hosts share one machine.
    """

    host: HostSection
    tls: TlsSection
    data_center: Uuid | None = None
    listen: ListenSection = ListenSection()
    state_dir: AbsolutePath = "/var/lib/ostler-agent"
    libvirt_uri: Annotated[str, Meta(min_length=1, max_length=1024)] = "qemu:///system"
    mounts_dir: AbsolutePath | None = None
    cpu_accounting: Literal["machine", "processes"] = "machine"

    @property
    def paths(self) -> HostPaths:
        """Where the agent keeps its state and mounts storage domains."""
        state = Path(self.state_dir)
        return HostPaths(state=state, mounts=Path(self.mounts_dir) if self.mounts_dir else state / "mounts")

    @property
    def certificates(self) -> CertificatePaths:
        """The certificate directory."""
        return CertificatePaths(Path(self.tls.certificate).parent)

    @property
    def address(self) -> str:
        """What other hosts connect to."""
        if self.host.address:
            return self.host.address
        wildcard = self.listen.address in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        return self.host.name if wildcard else self.listen.address


def default_config(certificates: Path) -> AgentConfig:
    """What `check` looks with on a host that is not enrolled yet: every default, and no identity."""
    paths = CertificatePaths(certificates)
    return AgentConfig(
        host=HostSection(name="localhost", uuid="00000000-0000-0000-0000-000000000000"),
        tls=TlsSection(str(paths.certificate), str(paths.key), str(paths.controllers_authority)),
    )


class _Loader(yaml.SafeLoader):
    """YAML without aliases and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node; refuses an alias, which could make a small file large."""
        if self.check_event(yaml.AliasEvent):
            event: Any = self.get_event()  # type: ignore[no-untyped-call] # stubs lack the mixin's types
            raise yaml.constructor.ConstructorError(
                None, None, "aliases are not allowed here", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; refuses a key that stands there twice."""
        seen: set[str] = set()
        for key, _value in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key.value}` is given twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_config(path: Path) -> AgentConfig:
    """The configuration in `path`, at most 64 KiB. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; run `ostler-agent enroll` or write it") from error
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; it holds a dozen lines")
    return parse_config(text, str(path))


def parse_config(text: bytes, source: str) -> AgentConfig:
    """agent.yaml's text as a configuration. Raises ConfigError naming `source` and the field."""
    try:
        plain = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise ConfigError(f"{place}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{source}: no YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deeply") from error
    return convert_config(plain, source)


def convert_config(plain: Any, source: str) -> AgentConfig:
    """Parsed YAML as a configuration. Raises ConfigError."""
    try:
        config = msgspec.convert(plain, AgentConfig)
    except msgspec.ValidationError as error:
        fault, _, field = str(error).partition(" - at `$.")
        where = field.rstrip("`") or "the file"
        raise ConfigError(f"{source}: {where}: {fault}") from error
    _refuse_scattered_certificates(config, source)
    return config


def _refuse_scattered_certificates(config: AgentConfig, source: str) -> None:
    """Enrolment and renewal replace the files as one set, so they lie in one directory under fixed names."""
    paths, tls = config.certificates, config.tls
    for field, given, wanted in (
        ("certificate", tls.certificate, paths.certificate),
        ("key", tls.key, paths.key),
        ("controllersCa", tls.controllers_ca, paths.controllers_authority),
    ):
        if Path(given) != wanted:
            raise ConfigError(f"{source}: tls.{field}: must be {wanted}, as `ostler-agent enroll` writes it")
