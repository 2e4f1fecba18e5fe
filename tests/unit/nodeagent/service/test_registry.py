from nodeagent.operations.registry import OPERATIONS
from nodeagent.wire.arguments import ARGUMENTS


def test_every_kind_of_order_in_the_contract_can_be_carried_out():
    assert set(OPERATIONS) == set(ARGUMENTS)
