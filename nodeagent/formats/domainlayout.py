"""Directories and special files of a storage domain on a file system, made so that a half-made one is no domain.

    <domain>/dom_md/{metadata,ids,leases,inbox,outbox,xleases}
    <domain>/images/<image>/{<volume>,<volume>.meta,<volume>.lease}
    <domain>/master/{vms,tasks,disks}

The operation `create-storage-domain` calls it. `metadata` is written last; a repeat completes what is there.
"""

import os
from pathlib import Path

from nodeagent.formats.domainmetadata import DomainMetadata, encode_domain_metadata
from nodeagent.formats.files import (
    LEFTOVER_PREFIX,
    ensure_directory,
    ensure_file,
    link_new,
    list_names,
    open_directory,
    open_inner,
    remove_quietly,
    replace_file,
    write_new,
)
from nodeagent.formats.metadata import MetadataError

ISO_IMAGE = "11111111-1111-1111-1111-111111111111"
MAILBOX_BYTES = 16 * 1024 * 1024
REMOVED_PREFIX = "_remove_me_"
_SPECIAL_FILES = {"ids": 0, "leases": 0, "xleases": 0, "inbox": MAILBOX_BYTES, "outbox": MAILBOX_BYTES}
_MASTER_DIRECTORIES = ("disks", "tasks", "vms")
_IGNORED = frozenset({"lost+found", ".snapshot", "__DIRECT_IO_TEST__"})


def find_strangers(root: Path, uuid: str) -> tuple[str, ...]:
    """What lies in a domain's root beside the domain itself and what file systems put there. Raises OSError.

    A domain directory that has contents and no metadata is a stranger too: its metadata may be lost.
    """
    with open_directory(root) as directory:
        names = list_names(directory) - _IGNORED
        strangers = {name for name in names - {uuid} if not name.startswith(LEFTOVER_PREFIX)}
        if uuid in names and not (root / uuid / "dom_md" / "metadata").exists():
            strangers |= _contents_without_metadata(directory, uuid)
    return tuple(sorted(strangers)[:5])


def _contents_without_metadata(root: int, uuid: str) -> set[str]:
    expected = {
        "": {"dom_md", "images", "master"},
        "images": {ISO_IMAGE},
        f"images/{ISO_IMAGE}": set(),
        "master": set(_MASTER_DIRECTORIES),
        **{f"master/{name}": set() for name in _MASTER_DIRECTORIES},
    }
    found = set()
    for below, names in expected.items():
        path = "/".join(part for part in (uuid, below) if part)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        except FileNotFoundError:
            continue
        try:
            found |= {f"{path}/{name}" for name in list_names(handle) - names}
        finally:
            os.close(handle)
    return found


def make_domain(root: Path, metadata: DomainMetadata) -> None:
    """Make the domain's directories and files below `root`, its metadata last. Raises MetadataError.

    The caller has made sure that nothing else lies there. What is there already stays as it is.
    """
    try:
        with open_directory(root) as outer:
            _refuse_without_links(outer)
            ensure_directory(outer, metadata.uuid)
            with open_inner(outer, metadata.uuid) as domain:
                _fill(domain, metadata)
    except OSError as error:
        raise MetadataError(
            f"cannot make storage domain {metadata.uuid} in {root}: {error.strerror or error}",
            "see that the storage can be written and has free space, then try again",
        ) from error


def _refuse_without_links(directory: int) -> None:
    """Records and templates need hard links; say so before anything is made."""
    probe = write_new(directory, b"")
    linked = f"{probe}-link"
    try:
        link_new(directory, probe, linked)
    except OSError as error:
        raise MetadataError(
            f"the file system has no hard links: {error.strerror}", "use a file system that has them"
        ) from error
    finally:
        remove_quietly(directory, linked)
        remove_quietly(directory, probe)


def _fill(domain: int, metadata: DomainMetadata) -> None:
    for name in ("dom_md", "images", "master"):
        ensure_directory(domain, name)
    with open_inner(domain, "images") as images:
        ensure_directory(images, ISO_IMAGE)
    with open_inner(domain, "master") as master:
        for name in _MASTER_DIRECTORIES:
            ensure_directory(master, name)
    with open_inner(domain, "dom_md") as special:
        for name, size in _SPECIAL_FILES.items():
            ensure_file(special, name, size)
        os.fsync(special)
        replace_file(special, "metadata", encode_domain_metadata(metadata))
