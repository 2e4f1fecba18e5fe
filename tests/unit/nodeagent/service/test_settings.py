import pytest

from nodeagent.errors import DriverError
from nodeagent.settings import NetworkSetting, Settings


def test_what_is_set_survives_a_restart(tmp_path):
    settings = Settings.load(tmp_path / "settings.json")
    settings.set_maintenance(True)
    settings.set_data_center("22222222-2222-2222-2222-222222222222")
    settings.set_host_id(7)
    settings.set_network(NetworkSetting("net/lan", "lan", 1500, "eth1"))
    settings.set_network(NetworkSetting("net/lan", "lan", 9000))

    again = Settings.load(tmp_path / "settings.json")

    assert (again.maintenance, again.host_id) == (True, 7)
    assert again.data_center == "22222222-2222-2222-2222-222222222222"
    assert again.networks == (NetworkSetting("net/lan", "lan", 9000),)


def test_a_damaged_file_is_refused_rather_than_forgotten(tmp_path):
    (tmp_path / "settings.json").write_text('{"maintenance": tr')

    with pytest.raises(DriverError):
        Settings.load(tmp_path / "settings.json")


def test_what_cannot_be_made_durable_is_not_set(tmp_path):
    settings = Settings.load(tmp_path / "gone" / "settings.json")

    with pytest.raises(DriverError):
        settings.set_maintenance(True)
    assert not settings.maintenance
