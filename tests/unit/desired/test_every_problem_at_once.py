"""One error of an object hides none of its others: what can be read of it is checked all the same."""

import io

from reconciler.desired.build import build_desired
from reconciler.desired.read import read_paths

UUID = "90c4e7d2-1b6f-4a38-bd05-6e2f83a9c741"
MAC = "56:6f:1a:00:00:01"


def told(loaded):
    return [(one.object, one.field, one.summary) for one in loaded.problems]


def test_a_misspelt_field_does_not_hide_a_mac_that_another_vm_has(load_farm, vm):
    nics = f"nics: [{{name: nic1, network: vms, mac: '{MAC.upper()}'}}]"
    loaded = load_farm(vm(nics, name="a"), vm(f"{nics}\nmemroy: 1Gi", name="b"))

    assert told(loaded) == [
        ("vm/b", "spec.nics[0].mac", "vm/a has the same MAC address"),
        ("vm/b", "spec.memroy", "unknown field memroy"),
    ]


def test_a_malformed_object_still_claims_its_uuid_name_and_disks(load_farm, vm):
    lines = f"uuid: {UUID}\nname: Same\ndisks: [{{disk: web-1-root}}]"
    loaded = load_farm(vm(f"{lines}\ncolour: red", name="a"), vm(lines, name="b"))

    assert told(loaded) == [
        ("vm/a", "spec.colour", "unknown field colour"),
        ("vm/b", "spec.uuid", "vm/a has the same uuid"),
        ("vm/b", "spec.name", "vm/a has the same name in this data center"),
        ("vm/b", "spec.disks[0].disk", "vm/a attaches the same disk"),
    ]


def test_a_malformed_object_still_keeps_the_limits_of_names_cpus_and_uuids(load_farm, vm, thing):
    loaded = load_farm(
        vm("cpu: {sockets: 300, cores: 4}\ncolour: red\nuuid: 00000000-0000-0000-0000-000000000000"),
        thing("LogicalNetwork", "bond9", "dataCenter: farm\nmtu: much"),
    )

    assert told(loaded) == [
        ("vm/web-1", "spec.cpu", "1200 vCPUs are more than a VM can have"),
        ("vm/web-1", "spec.colour", "unknown field colour"),
        ("vm/web-1", "spec.uuid", "this uuid names nothing"),
        ("net/bond9", "metadata.name", "a network's name cannot begin with bond"),
        ("net/bond9", "spec.mtu", "a whole number is expected here, not the text 'much'"),
    ]


def test_a_malformed_object_still_has_its_consent_and_rename_checked(load_farm, thing):
    loaded = load_farm(
        thing(
            "LogicalNetwork",
            "lab",
            "dataCenter: farm\ncolour: red",
            f'annotations: {{ostler.dev/allow-destroy: "{UUID}", ostler.dev/renamed-from: net/old}}',
        )
    )

    assert sorted(summary for _, _, summary in told(loaded)) == [
        "a LogicalNetwork has no record to go on with",
        "a LogicalNetwork needs no consent to be removed",
        "unknown field colour",
    ]


def test_a_bad_name_does_not_hide_a_dangling_reference_or_a_clash(load_farm, vm):
    nics = f"nics: [{{name: nic1, network: vmms, mac: '{MAC}'}}]"
    loaded = load_farm(
        vm(f"nics: [{{name: nic1, network: vms, mac: '{MAC}'}}]", name="a"), vm(nics, name="Web_1")
    )

    assert told(loaded) == [
        ("vm/Web_1", "metadata.name", "'Web_1' is not a name"),
        ("vm/Web_1", "spec.nics[0].network", "there is no LogicalNetwork vmms"),
        ("vm/Web_1", "spec.nics[0].mac", "vm/a has the same MAC address"),
    ]


def test_objects_without_any_name_clash_as_well(load_farm, vm):
    loaded = load_farm(vm(f"uuid: {UUID}", name='""'), vm(f"uuid: {UUID}", name='""'))

    assert told(loaded)[-1] == ("", "spec.uuid", "a VirtualMachine without a name has the same uuid")


def test_a_key_given_twice_does_not_hide_the_other_faults_of_its_object():
    text = """\
apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {name: web-1}
spec:
  cluster: gone
  memory: 1Gi
  memory: 2Gi
  colour: red
"""
    manifests = read_paths(["-"], io.BytesIO(text.encode()))
    _, problems = build_desired(manifests.documents)

    assert [one.summary for one in manifests.problems] == [
        "the key 'memory' is given twice, the first time in line 6"
    ]
    assert [(one.where.line, one.summary) for one in problems] == [
        (5, "there is no Cluster gone"),
        (8, "unknown field colour"),
    ]


def test_what_a_refused_key_may_have_held_is_not_called_missing():
    text = """\
apiVersion: ostler.dev/v1alpha1
kind: VirtualMachine
metadata: {name: web-1}
spec: {cluster: gone}
spec: {memory: 1Gi}
"""
    manifests = read_paths(["-"], io.BytesIO(text.encode()))

    assert [one.summary for one in build_desired(manifests.documents)[1]] == ["there is no Cluster gone"]


def test_a_document_that_could_not_be_read_to_its_end_is_not_looked_into():
    text = "kind: VirtualMachine\nmetadata: {name: web-1}\nspec:\n  cluster: gone\n  colour: [\n"
    manifests = read_paths(["-"], io.BytesIO(text.encode()))

    assert build_desired(manifests.documents)[1] == ()
