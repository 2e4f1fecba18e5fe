"""The only modules that touch the machine: libvirt, the kernel, programs. Each wraps one of them."""
