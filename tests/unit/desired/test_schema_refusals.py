"""What a manifest may not say, and how that is said: field, place, and what to write instead."""

import pytest


def only(loaded):
    assert len(loaded.problems) == 1, loaded.said
    return loaded.problems[0]


@pytest.mark.parametrize(
    ("line", "field", "summary", "detail"),
    [
        ("priority: 200", "spec.priority", "200 is too large", "write 0 to 100"),
        ("priority: -1", "spec.priority", "-1 is too small", "write 0 to 100"),
        (
            'priority: "7"',
            "spec.priority",
            "a whole number is expected here, not the text '7'",
            "write 7 without quotes",
        ),
        (
            "priority: 7.5",
            "spec.priority",
            "a whole number is expected here, not a fraction",
            "this is who goes first when VMs are started or moved, 0 to 100, higher first",
        ),
        (
            "balloon: yes",
            "spec.balloon",
            "true or false is expected here, not the text 'yes'",
            "write true",
        ),
        (
            "balloon: off",
            "spec.balloon",
            "true or false is expected here, not the text 'off'",
            "write false",
        ),
        (
            "balloon:",
            "spec.balloon",
            "true or false is expected here, not nothing",
            "give it a value, or remove the field",
        ),
        (
            "firmware: UEFI",
            "spec.firmware",
            "UEFI is not one of bios, uefi",
            "did you mean uefi?",
        ),
        (
            "runPolicy: Never",
            "spec.runPolicy",
            "Never is not one of Always, RestartOnFailure, Manual, Stopped",
            "write one of these",
        ),
        ("description: 5", "spec.description", "text is expected here, not a number", "put it in quotes"),
        (
            "disks: {disk: web-1-root}",
            "spec.disks",
            "a list is expected here, not a mapping",
            "begin each item with '- '",
        ),
        (
            "placement: h1",
            "spec.placement",
            "a mapping is expected here, not the text 'h1'",
            "this is where the VM may run",
        ),
        (
            "maxMemory: 1GB",
            "spec.maxMemory",
            "1GB has the unknown unit GB",
            "write 1Gi (powers of 1024) or 1G (powers of 1000)",
        ),
        (
            "maxMemory: [1]",
            "spec.maxMemory",
            "a quantity is expected here, not a list",
            'write it like "256Mi"',
        ),
        (
            "shutdownTimeout: 90",
            "spec.shutdownTimeout",
            "90 is not a duration",
            "write a unit: 90s, 90m or 90h",
        ),
        ("shutdownTimeout: 2d", "spec.shutdownTimeout", "this is too large", "write 0s to 1d"),
        (
            "nics: [{name: a, network: vms, mac: '53:54:00:00:00:01'}]",
            "spec.nics[0].mac",
            "53:54:00:00:00:01 is a multicast address",
            "the second digit of a card's own address is even: 0, 2, 4, 6, 8, a, c or e",
        ),
        (
            "nics: [{name: a, network: vms, mac: '00:00:00:00:00:00'}]",
            "spec.nics[0].mac",
            "00:00:00:00:00:00 is no address of a card",
            "remove the field to have an address assigned",
        ),
        (
            "nics: [{name: a, network: vms, mac: 52-54-00-00-00-01}]",
            "spec.nics[0].mac",
            "'52-54-00-00-00-01' is not a MAC address",
            "write six pairs of hexadecimal digits with ':' between them, such as 56:6f:1a:00:00:01",
        ),
        (
            "uuid: abc",
            "spec.uuid",
            "'abc' is not a uuid",
            "write it like 6b4b7c7e-53cf-4f1b-8f52-0d1b2a3c4d5e",
        ),
        (
            "boot: {kernel: vmlinuz}",
            "spec.boot.kernel",
            "'vmlinuz' is not an absolute path",
            "begin it with '/', without control characters",
        ),
        (
            "boot: {kernel: /boot/../etc/shadow}",
            "spec.boot.kernel",
            "/boot/../etc/shadow is not in its shortest form",
            "write it without '.', '..', '//' and a '/' at the end",
        ),
        (
            "boot: {initrd: /i}",
            "spec.boot.kernel",
            "the field kernel is missing",
            "add it: kernel image on the host",
        ),
        (
            "machineType: pseries",
            "spec.machineType",
            "'pseries' is not a machine type of x86",
            "write q35, pc, or a version of one such as pc-q35-7.2",
        ),
        ("cpu: {threads: 9}", "spec.cpu.threads", "9 is too large", "write 1 to 8"),
        ("cpu: {cores: 255}", "spec.cpu.cores", "255 is too large", "write 1 to 254"),
        ("name: a b", "spec.name", "'a b' is not a name", "use letters, digits, '.', '_' and '-'"),
        ("name: ''", "spec.name", "this is empty", "use letters, digits, '.', '_' and '-'"),
        (
            f"name: {'n' * 65}",
            "spec.name",
            "this is longer than 64 characters",
            "write at most 64 characters",
        ),
        (
            f"description: {'n' * 256}",
            "spec.description",
            "this is longer than 255 characters",
            "write at most 255 characters",
        ),
        (
            'description: "a\\nb"',
            "spec.description",
            "'a\\nb' is not one line of text",
            "remove line breaks and control characters",
        ),
    ],
)
def test_a_wrong_value_says_what_to_write(load_farm, vm, line, field, summary, detail):
    problem = only(load_farm(vm(line)))

    assert (problem.object, problem.field) == ("vm/web-1", field)
    assert (problem.summary, problem.detail) == (summary, detail)


def test_a_value_is_placed_at_the_value_and_an_unknown_field_at_the_key(load, thing):
    text = thing("DataCenter", "farm", "uuid: 12\nmacPrefx: 56:6f:1a")

    assert load(text).said == [
        "6:9 dc/farm spec.uuid: text is expected here, not a number; put it in quotes",
        "7:3 dc/farm spec.macPrefx: unknown field macPrefx; did you mean macPrefix?",
    ]


def test_a_misspelt_field_is_one_problem_not_also_a_missing_one(load_farm, thing):
    problem = only(load_farm(thing("VirtualMachine", "web-1", "cluster: main\nmemroy: 1Gi")))

    assert problem.field == "spec.memroy"
    assert problem.detail == "did you mean memory?"


def test_an_unknown_field_like_no_other_names_those_that_are_known(load_farm, vm):
    problem = only(load_farm(vm("vnc: {colour: red}")))

    assert problem.summary == "unknown field colour"
    assert problem.detail == "remove it; spec.vnc takes password"


def test_a_missing_field_is_placed_at_what_lacks_it(load_farm, thing):
    loaded = load_farm(thing("Disk", "d", "size: 1Gi"))

    problem = only(loaded)
    assert problem.summary == "the field storageDomain is missing"
    assert problem.detail == "add it: storage domain that holds the image"
    assert problem.where.column == 1


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("virtualmachine", "did you mean VirtualMachine?"),
        (
            "Vm",
            "known are DataCenter, LogicalNetwork, StorageDomain, SchedulingPolicy, Cluster, Host, Disk, VirtualMachine",
        ),
        ("StorageDomian", "did you mean StorageDomain?"),
    ],
)
def test_an_unknown_kind_names_the_near_miss(load, kind, detail):
    problem = only(load(f"apiVersion: ostler.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}"))

    assert problem.summary == f"unknown kind {kind}"
    assert problem.detail == detail
    assert (problem.where.line, problem.where.column) == (2, 7)


def test_objects_of_others_belong_into_another_directory(load):
    problem = only(load("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}"))

    assert problem.detail.startswith("keep objects of apps/v1 in another directory")


def test_an_unknown_version_names_the_known_one(load):
    problem = only(
        load(
            "apiVersion: ostler.dev/v1\nkind: DataCenter\nmetadata: {name: farm}\n"
            "spec: {uuid: 0b5c6a1e-7d3f-4c55-9e0a-3f1f6d2b8c47}"
        )
    )

    assert problem.field == "apiVersion"
    assert problem.detail == "did you mean ostler.dev/v1alpha1?"


@pytest.mark.parametrize("name", ["Web", "web_1", "-web", "web-", "w" * 64, "a..b", ".a", "ä"])
def test_names_are_those_of_kubernetes(load_farm, vm, name):
    problem = only(load_farm(vm(name=f'"{name}"')))

    assert problem.field == "metadata.name"


def test_a_name_in_capitals_is_offered_in_lower_case(load_farm, vm):
    problem = only(load_farm(vm(name="Web-1")))

    assert problem.detail.endswith("; web-1 may be meant")


@pytest.mark.parametrize(
    ("name", "meant"), [("C_x", "c-x"), ("web_1", "web-1"), ("-web-", "web"), ("a b", "a-b")]
)
def test_a_name_that_is_offered_is_one(load_farm, vm, name, meant):
    assert only(load_farm(vm(name=f'"{name}"'))).detail.endswith(f"; {meant} may be meant")


@pytest.mark.parametrize("name", ["_", "a..b", "W" * 70])
def test_nothing_is_offered_for_what_resembles_no_name(load_farm, vm, name):
    assert "may be meant" not in only(load_farm(vm(name=f'"{name}"'))).detail


@pytest.mark.parametrize("name", ["a", "w" * 63, "web-1.example.org", "0"])
def test_names_of_kubernetes_are_taken(load_farm, vm, name):
    assert load_farm(vm(name=f'"{name}"')).problems == ()


@pytest.mark.parametrize(
    "address",
    ["192.0.2.300", "0.0.0.0", "ff02::1", "[2001:db8::1]", "h1:22", "https://h1", "-h1", "h1..x", "1.2.3"],
)
def test_an_address_is_that_of_one_host(load_farm, thing, address):
    problem = only(load_farm(thing("Host", "h2", f'cluster: main\naddress: "{address}"')))

    assert problem.field == "spec.address"


@pytest.mark.parametrize(
    ("written", "read"),
    [("H1.Example.org", "h1.example.org"), ("2001:DB8:0::1", "2001:db8::1"), ("192.0.2.12", "192.0.2.12")],
)
def test_addresses_are_kept_in_one_form(load_farm, thing, written, read):
    loaded = load_farm(thing("Host", "h2", f'cluster: main\naddress: "{written}"'))

    assert loaded.problems == ()
    assert loaded.farm.hosts["host/h2"].address == read


def test_an_unknown_annotation_of_ours_is_a_slip_and_those_of_others_are_left_alone(load_farm, vm):
    metadata = """
    annotations:
      ostler.dev/allow-destory: "1"
      example.org/team: 7
    labels: {team: a, ostler.dev/x: y}
    """

    problem = only(load_farm(vm(metadata=metadata)))

    assert problem.summary == "unknown annotation ostler.dev/allow-destory"
    assert problem.detail == "did you mean ostler.dev/allow-destroy?"
    assert problem.field == "metadata.annotations[ostler.dev/allow-destory]"


def test_what_an_api_server_adds_is_ignored(load_farm, vm):
    metadata = """
    uid: 9d6f
    resourceVersion: "17"
    generation: 3
    creationTimestamp: 2024-01-01T00:00:00Z
    managedFields: [{manager: kubectl}]
    finalizers: [a/b]
    ownerReferences: []
    annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
    """

    loaded = load_farm(vm(metadata=metadata) + "status: {power: Running, anything: [1]}\n")

    assert loaded.problems == ()


def test_a_namespace_is_only_for_kinds_that_live_in_one(load_farm, vm, thing):
    loaded = load_farm(
        vm(metadata="namespace: team-a", name="web-9"),
        thing("LogicalNetwork", "lab", "dataCenter: farm", "namespace: team-a"),
    )

    assert loaded.summaries == ["a LogicalNetwork has no namespace"]
    assert list(loaded.farm.vms) == ["vm/team-a/web-9"]


def test_text_that_would_mislead_a_terminal_is_escaped(load_farm, vm):
    problem = only(load_farm(vm('firmware: "\\e[2Jbios"')))

    assert "\x1b" not in str(problem)


def test_a_hundred_faults_of_one_object_are_shown_and_the_rest_is_counted(load_farm, vm):
    loaded = load_farm(vm("\n".join(f"k{n}x{n}x{n}: 1" for n in range(150))))

    assert len(loaded.problems) == 101
    assert "and 50 more faults in this object" in loaded.summaries


def test_thousands_of_faults_in_one_object_are_one_problem(load_farm, vm):
    problem = only(load_farm(vm("\n".join(f"k{n}: 1" for n in range(20_000)))))

    assert problem.summary == "20000 fields of this object are wrong"
