"""What the operations on disks have in common: records and metadata of one image, who uses it, and its removal mark."""

import os
from dataclasses import dataclass
from pathlib import Path

from nodeagent.drivers.qemuimg import ImageFormat, is_open_elsewhere
from nodeagent.formats.diskrecords import read_disk_record
from nodeagent.formats.domainlayout import REMOVED_PREFIX
from nodeagent.formats.files import list_names, open_directory
from nodeagent.formats.volumemetadata import BLANK_PARENT, VolumeMetadata
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError
from nodeagent.operations.disk_guests import files_in_use
from nodeagent.wire.records import DiskRecord

GRANULARITY_BYTES = 4096
REPLAN = "observe and plan anew"


@dataclass(frozen=True, slots=True)
class Image:
    """One disk image on a connected, answering domain. record is None for one that Ostler has no record of."""

    place: Path
    uuid: str
    record: DiskRecord | None

    @property
    def directory(self) -> Path:
        """Where its volumes lie while it is in use."""
        return self.place / "images" / self.uuid

    @property
    def removed_name(self) -> str:
        """The name of its directory once it is marked removed."""
        return f"{REMOVED_PREFIX}{self.uuid}"

    def names(self) -> set[str]:
        """Which of its two directories exist. Raises OperationError."""
        try:
            with open_directory(self.place, "images") as images:
                return {name for name in (self.uuid, self.removed_name) if _exists(images, name)}
        except OSError as error:
            raise _unreachable(self, error) from error

    def files(self, name: str) -> set[str]:
        """What lies in its directory `name`; nothing if it does not exist. Raises OperationError."""
        try:
            with open_directory(self.place, "images", name) as directory:
                return list_names(directory)
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise _unreachable(self, error) from error


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _unreachable(image: Image, error: OSError) -> OperationError:
    return OperationError(
        f"disk image {image.uuid} in {image.place} cannot be reached: {error.strerror or error}",
        "see to the storage domain",
    )


def find_image(host: Host, storage_domain: str, image: str) -> Image:
    """An image with its record. Raises OperationError if the domain does not answer or the record is unreadable."""
    place = host.storage.answering_place(storage_domain)
    return Image(place, image, read_disk_record(place, image))


def who_uses(host: Host, image: Image, name: str) -> str | None:
    """Who has a volume of the image's directory `name` open, in words; None if nobody is seen. Raises OperationError."""
    directory = image.place / "images" / name
    used = files_in_use(host)
    for file in sorted(image.files(name)):
        path = directory / file
        if path in used:
            return f"a guest of this host uses {path}"
        if path.is_file() and not path.is_symlink() and is_open_elsewhere(path):
            return f"a QEMU or qemu-img, here or on another host, has {path} open"
    return None


def move_image(image: Image, before: str, after: str) -> None:
    """Rename an image's directory, durably; does nothing if that was done. Raises OperationError."""
    try:
        with open_directory(image.place, "images") as images:
            if not _exists(images, before) and _exists(images, after):
                return
            if _exists(images, after):
                raise OperationError(f"{after} is there already", "find out where it comes from")
            os.rename(before, after, src_dir_fd=images, dst_dir_fd=images)
            os.fsync(images)
    except OSError as error:
        raise _unreachable(image, error) from error


def is_one_disk(record: DiskRecord, other: DiskRecord) -> bool:
    """Whether two revisions of a record speak of the same disk."""
    keys = [
        (one.image, one.volume, one.storage_domain, one.data_center, one.incarnation)
        for one in (record, other)
    ]
    return keys[0] == keys[1]


def image_format(metadata: VolumeMetadata) -> ImageFormat:
    """The format by the name that qemu-img has for it."""
    return "raw" if metadata.format == "RAW" else "qcow2"


def parent_of(metadata: VolumeMetadata) -> str | None:
    """The parent volume's uuid, None for a volume without."""
    return None if metadata.parent == BLANK_PARENT else metadata.parent


def refuse(objection: str | None, action: str = REPLAN) -> None:
    """Raises OperationError if there is an objection; nothing was done then."""
    if objection is not None:
        raise OperationError(objection, action)
