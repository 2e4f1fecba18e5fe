"""Our element in a domain's metadata: the requested configuration, the run, and digests of applied secrets.

It travels with the guest in migrations. Written by `writing` and by live changes, read by `reading`.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from nodeagent.wire.codec import ContractError, decode, encode
from nodeagent.wire.guest import GuestConfig

NAMESPACE = "https://ostler.dev/domain/1"
PREFIX = "ostler"

ET.register_namespace(PREFIX, NAMESPACE)


@dataclass(frozen=True, slots=True)
class GuestMetadata:
    """config: as last ordered, complete. secrets: HMAC by reference `NAME/KEY` of what was last applied."""

    config: GuestConfig
    secrets: tuple[tuple[str, str], ...] = ()


def metadata_element(metadata: GuestMetadata) -> ET.Element:
    """The element as it stands in `<metadata>`: object, data center and run for people, config for us."""
    return _element(metadata, f"{{{NAMESPACE}}}")


def metadata_xml(metadata: GuestMetadata) -> str:
    """The element as libvirt's setMetadata takes it: without the namespace, which libvirt puts in itself."""
    return ET.tostring(_element(metadata, ""), encoding="unicode")


def _element(metadata: GuestMetadata, space: str) -> ET.Element:
    config = metadata.config
    attributes = {"object": config.object, "dataCenter": config.data_center, "run": str(config.run)}
    element = ET.Element(f"{space}domain", attributes)
    ET.SubElement(element, f"{space}config").text = _ascii_json(config)
    for reference, digest in sorted(metadata.secrets):
        ET.SubElement(element, f"{space}secret", {"ref": reference, "hmac": digest})
    return element


def read_metadata(domain: ET.Element) -> GuestMetadata | None:
    """Our element of a domain; None where there is none, or none that this version understands."""
    element = domain.find(f"metadata/{_name('domain')}")
    text = None if element is None else element.findtext(_name("config"))
    if element is None or text is None:
        return None
    try:
        config = decode(text, GuestConfig)
    except ContractError:
        return None
    secrets = [(item.get("ref", ""), item.get("hmac", "")) for item in element.findall(_name("secret"))]
    return GuestMetadata(config, tuple(secrets))


def _name(tag: str) -> str:
    return f"{{{NAMESPACE}}}{tag}"


def _ascii_json(config: GuestConfig) -> str:
    # Escaping everything outside ASCII keeps characters that XML has no place for.
    text = encode(config).decode()
    return "".join(character if " " <= character <= "~" else _escape(character) for character in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
