import pytest

from nodeagent.config import MAX_BYTES, ConfigError, parse_config, read_config

WHOLE = b"""
host: {name: h1, uuid: 11111111-1111-1111-1111-111111111111}
dataCenter: 22222222-2222-2222-2222-222222222222
listen: {address: 10.0.0.1, port: 54331}
tls: {certificate: /etc/ostler/host.pem, key: /etc/ostler/host.key, controllersCa: /etc/ostler/controllers-ca.pem}
stateDir: /var/lib/ostler-agent
libvirtUri: qemu:///system
"""


def test_a_whole_file_is_read():
    config = parse_config(WHOLE, "agent.yaml")

    assert (config.host.name, config.listen.port, config.address) == ("h1", 54331, "10.0.0.1")
    assert str(config.paths.mounts) == "/var/lib/ostler-agent/mounts"


def test_what_is_not_given_has_a_default():
    text = WHOLE.replace(b"listen: {address: 10.0.0.1, port: 54331}\n", b"").replace(b"dataCenter: ", b"# ")

    config = parse_config(text, "agent.yaml")

    assert (config.listen.port, config.address, config.data_center) == (54330, "h1", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file: Expected `object`, got `null`"),
        (WHOLE + b"colour: red\n", "the file: Object contains unknown field `colour`"),
        (WHOLE.replace(b"54331", b"99999"), "listen.port: Expected `int` <= 65535"),
        (WHOLE.replace(b"port: 54331", b"prot: 1"), "listen: Object contains unknown field `prot`"),
        (WHOLE.replace(b"uuid: 1111", b"uuid: xxxx"), "host.uuid: Expected `str` matching"),
        (WHOLE + b"stateDir: /tmp\n", "agent.yaml:8:1: `stateDir` is given twice"),
        (WHOLE.replace(b"h1", b"&x h1") + b"libvirtUri: *x\n", "aliases are not allowed here"),
        (
            WHOLE.replace(b"host.key", b"my.key"),
            "tls.key: must be /etc/ostler/host.key, as `ostler-agent enroll` writes it",
        ),
        (b"host: [", "agent.yaml:1:8"),
        (b"[" * 60_000, "nested too deeply"),
        (b"\xff\x00\x01", "no YAML"),
    ],
)
def test_every_fault_names_its_place(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "agent.yaml")

    assert message in str(caught.value)


def test_a_missing_or_endless_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "agent.yaml")
    (tmp_path / "agent.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_config(tmp_path / "agent.yaml")
