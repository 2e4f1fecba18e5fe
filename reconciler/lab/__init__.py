"""A laboratory of hypervisor hosts on one Linux machine: namespaces, a libvirtd and an agent each.

`ostler lab`, the demo and the tests with real parts call it. `lifecycle` makes and removes a lab, `power`,
`services` and `network` do to a host what happens to hosts, `guestlog` reads what the guests say.
Nothing here is imported by the path from manifests to orders.
"""
