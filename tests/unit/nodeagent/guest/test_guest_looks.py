"""Domains and processes are looked at one after the other, and belong together all the same."""

from types import SimpleNamespace

import pytest

from nodeagent.facts.guests import LOOKS, Guests

VM = "cccccccc-0000-4000-8000-000000000001"


class Beginning:
    """A libvirt that lists a guest, whose process is there, from its nth look on."""

    def __init__(self, listed_from):
        self.looks, self.listed_from, self.migrations = 0, listed_from, {}

    def listen(self, _listener):
        pass

    def list_guests(self):
        self.looks += 1
        listed = self.looks >= self.listed_from
        row = SimpleNamespace(uuid=VM, name=VM, state="running", running=True, persistent=False, autostart=False,
                              pause_reason="", xml="<domain/>", balloon_alive=False)  # fmt: skip
        return (row,) if listed else ()

    def list_processes(self):
        return {VM: 1}


def look(listed_from):
    exits = SimpleNamespace(hear=None, observe=lambda *_args: None)
    seen = Guests(Beginning(listed_from), exits).collect()
    return {guest.uuid for guest in seen.guests}, set(seen.processes)


@pytest.mark.parametrize("listed_from", range(1, LOOKS + 1))
def test_a_guest_that_begins_between_the_looks_is_listed(listed_from):
    assert look(listed_from) == ({VM}, {VM})


def test_a_process_that_libvirt_never_lists_is_told():
    assert look(LOOKS + 1) == (set(), {VM})
