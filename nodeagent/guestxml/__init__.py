"""GuestConfig to libvirt domain XML and back: pure text work, no libvirt, no files.

`vm_*` operations write with it, `facts.guests` reads with it.
"""
