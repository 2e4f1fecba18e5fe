"""Kernels out of bzImages; whatever is none stays as it is."""

import lzma
import struct

import pytest

from reconciler.lab.kernelpayload import unpack_kernel

KERNEL = b"\x7fELF" + bytes(range(256)) * 40


def bzimage(payload: bytes, setup_sectors: int = 3, offset: int = 100) -> bytes:
    image = bytearray((setup_sectors + 1) * 512 + offset)
    image[0x1F1] = setup_sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, offset, len(payload))
    return bytes(image) + payload + b"trailing"


def test_the_kernel_is_unpacked():
    assert unpack_kernel(bzimage(lzma.compress(KERNEL))) == KERNEL


@pytest.mark.parametrize(
    "image",
    [b"", b"text", bzimage(b"\x28\xb5\x2f\xfd" + bytes(50)), bzimage(lzma.compress(b"no ELF")),
     bzimage(lzma.compress(KERNEL)[:40])],
)  # fmt: skip
def test_what_is_packed_otherwise_or_damaged_stays_as_it_is(image):
    assert unpack_kernel(image) == image
