"""The uncompressed kernel out of a bzImage: an emulated guest needs three seconds to unpack it, at each of its starts.

`guestimage` puts it beside the kernel image. QEMU boots it through its PVH entry; UEFI firmware cannot.
Format: kernel documentation, "The Linux/x86 Boot Protocol".
"""

import lzma
import struct

MAGIC = b"HdrS"
SECTOR = 512
_SETUP_SECTORS, _MAGIC, _PAYLOAD = 0x1F1, 0x202, 0x248


def unpack_kernel(image: bytes) -> bytes:
    """The ELF kernel of a bzImage; the image itself where its payload is not packed with xz, or it is no bzImage."""
    if image[_MAGIC : _MAGIC + len(MAGIC)] != MAGIC:
        return image
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = (image[_SETUP_SECTORS] + 1) * SECTOR + offset
    unpacking = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    try:
        kernel = unpacking.decompress(image[start : start + length])
    except lzma.LZMAError:
        return image
    return kernel if unpacking.eof and kernel.startswith(b"\x7fELF") else image
