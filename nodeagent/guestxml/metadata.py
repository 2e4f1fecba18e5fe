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
    config = metadata.config
    attributes = {"object": config.object, "dataCenter": config.data_center, "run": str(config.run)}
    element = ET.Element(_name("domain"), attributes)
    ET.SubElement(element, _name("config")).text = _ascii_json(config)
    for reference, digest in sorted(metadata.secrets):
        ET.SubElement(element, _name("secret"), {"ref": reference, "hmac": digest})
    return element


def metadata_xml(metadata: GuestMetadata) -> str:
    """The element as a document of its own, for libvirt's setMetadata."""
    return ET.tostring(metadata_element(metadata), encoding="unicode")


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
