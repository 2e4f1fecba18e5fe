"""The host's certificate files: installed whole, renewed in one step, and checked with advice."""

import hashlib
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nodeagent.certificates import (
    CertificateError,
    CertificatePaths,
    HostCertificates,
    certificate_facts,
    certificate_problems,
    complete_installation,
    install_renewed,
    libvirt_files,
    present_fingerprint,
    present_host_uuid,
    renew_copies,
    request_for_present_key,
    stage_certificates,
    stage_new_key,
)
from reconciler.model.certificates import certificate_digest
from reconciler.pki.authority import Authorities, SignedCertificate
from reconciler.pki.export import write_agent_files

from .conftest import HOST_1, HOST_2


@pytest.fixture
def paths(estate: Authorities, tmp_path: Path) -> CertificatePaths:
    write_agent_files(estate.issue_agent("host-1", HOST_1, ["10.0.0.1"]), tmp_path / "host")
    return CertificatePaths(tmp_path / "host")


def received(signed: SignedCertificate) -> HostCertificates:
    return HostCertificates(
        signed.certificate_pem, signed.controllers_authority_pem, signed.agents_authority_pem
    )


def summaries(paths: CertificatePaths, now: datetime) -> list[str]:
    return [problem.summary for problem in certificate_problems(paths, now)]


def test_whole_and_current_files_have_no_problems(paths: CertificatePaths, now: datetime) -> None:
    assert certificate_problems(paths, now) == ()
    assert present_host_uuid(paths) == HOST_1
    assert certificate_facts(paths).expires_ms > now.timestamp() * 1000


@pytest.mark.parametrize("name", ["host.pem", "host.key", "controllers-ca.pem", "agents-ca.pem"])
def test_a_missing_or_broken_file_is_named_with_the_way_to_enrol(
    paths: CertificatePaths, now: datetime, name: str
) -> None:
    (paths.directory / name).write_text("broken")
    (broken,) = certificate_problems(paths, now)
    (paths.directory / name).unlink()
    (missing,) = certificate_problems(paths, now)

    assert str(paths.directory / name) in broken.summary
    assert missing.summary == f"{paths.directory / name} is missing"
    assert broken.level == missing.level == "error"
    assert "ostler-agent enroll" in missing.action


def test_a_key_that_does_not_match_and_one_open_to_others_are_both_told(
    estate: Authorities, paths: CertificatePaths, now: datetime
) -> None:
    paths.key.write_text(estate.issue_agent("host-1", HOST_1, []).key_pem)
    paths.key.chmod(0o644)

    assert summaries(paths, now) == [
        f"{paths.key} can be read or changed by others",
        f"{paths.key} is not the key of {paths.certificate}",
    ]


def test_a_certificate_of_another_estate_is_told(
    authorities: Authorities, paths: CertificatePaths, now: datetime
) -> None:
    paths.agents_authority.write_text(authorities.agents.pem)

    assert summaries(paths, now) == [
        "the host's certificate is not signed by the agents' authority of its estate"
    ]


def test_dates_are_told_with_who_must_act(paths: CertificatePaths, now: datetime) -> None:
    (soon,) = certificate_problems(paths, now + timedelta(days=320))
    (expired,) = certificate_problems(paths, now + timedelta(days=366))
    early = certificate_problems(paths, now - timedelta(days=1))

    assert certificate_problems(paths, now + timedelta(days=250)) == ()
    assert (soon.level, soon.summary.split(" in ")[0]) == ("warning", "the host's certificate expires")
    assert "controller" in soon.action
    assert (expired.level, "expired on" in expired.summary) == ("error", True)
    assert "ostler-agent enroll" in expired.action
    assert {problem.action for problem in early} == {"correct the clock of this host, then check again"}


def test_a_renewed_certificate_replaces_the_old_one_for_the_same_key(
    estate: Authorities, paths: CertificatePaths, now: datetime
) -> None:
    later = now + timedelta(days=250)
    request = request_for_present_key(paths, "host-1")
    by_request = estate.sign_agent_request(request, "host-1", HOST_1, ["10.0.0.1"], now=later)
    by_certificate = estate.renew_agent(
        paths.certificate.read_text(), "host-1", HOST_1, ["10.0.0.1"], now=later
    )

    for signed in (by_request, by_certificate):
        install_renewed(paths, signed.certificate_pem, later)
        assert paths.certificate.read_text() == signed.certificate_pem
        assert certificate_problems(paths, later + timedelta(days=200)) == ()


def test_a_renewal_that_does_not_fit_is_refused_and_the_old_one_stays(
    estate: Authorities, authorities: Authorities, paths: CertificatePaths, now: datetime
) -> None:
    before = paths.certificate.read_bytes()
    request = request_for_present_key(paths, "host-1")
    unfit = (
        estate.issue_agent("host-1", HOST_1, []).certificate_pem,
        estate.sign_agent_request(request, "host-1", HOST_2, []).certificate_pem,
        authorities.sign_agent_request(request, "host-1", HOST_1, []).certificate_pem,
        estate.sign_agent_request(
            request, "host-1", HOST_1, [], now=now - timedelta(days=400)
        ).certificate_pem,
        "nonsense",
    )

    for pem in unfit:
        with pytest.raises(CertificateError):
            install_renewed(paths, pem, now)
    assert paths.certificate.read_bytes() == before


@pytest.mark.parametrize("moved", range(5))
def test_a_power_cut_at_any_point_of_an_installation_is_mended_at_the_next_start(
    authorities: Authorities,
    paths: CertificatePaths,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    moved: int,
) -> None:
    request = stage_new_key(paths, "host-1")
    signed = authorities.sign_agent_request(request, "host-1", HOST_1, [])
    stage_certificates(paths, received(signed))
    left = iter(range(moved))
    replace = Path.replace

    def cut_short(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(Path, "replace", cut_short)
        complete_installation(paths)
    complete_installation(paths)

    assert certificate_problems(paths, now) == ()
    assert paths.certificate.read_text() == signed.certificate_pem
    assert not list(paths.directory.glob("*.new"))


def test_a_key_made_for_an_enrolment_that_never_ended_changes_nothing(
    paths: CertificatePaths, now: datetime
) -> None:
    before = paths.key.read_bytes()

    stage_new_key(paths, "host-1")
    complete_installation(paths)

    assert paths.key.read_bytes() == before
    assert certificate_problems(paths, now) == ()


def test_a_certificate_for_another_key_is_not_staged(estate: Authorities, paths: CertificatePaths) -> None:
    stage_new_key(paths, "host-1")

    with pytest.raises(CertificateError, match="not for the key"):
        stage_certificates(paths, received(estate.issue_agent("host-1", HOST_1, [])))


def test_what_follows_the_first_certificate_of_a_text_is_not_installed(
    estate: Authorities, authorities: Authorities, paths: CertificatePaths
) -> None:
    request = stage_new_key(paths, "host-1")
    signed = estate.sign_agent_request(request, "host-1", HOST_1, [])
    padded = HostCertificates(
        signed.certificate_pem,
        signed.controllers_authority_pem + authorities.controllers.pem,
        signed.agents_authority_pem + authorities.agents.pem,
    )

    stage_certificates(paths, padded)
    complete_installation(paths)

    assert paths.controllers_authority.read_text() == estate.controllers.pem
    assert paths.agents_authority.read_text() == estate.agents.pem


def test_libvirt_and_qemu_find_the_agents_files_and_never_the_controllers_authority(
    paths: CertificatePaths,
) -> None:
    pairs = libvirt_files(paths)

    assert len({target for _, target in pairs}) == len(pairs) == 10
    assert paths.controllers_authority not in {source for source, _ in pairs}


def test_plans_and_agents_name_a_certificate_by_the_same_digest(paths: CertificatePaths) -> None:
    assert certificate_digest(certificate_facts(paths).pem) == present_fingerprint(paths)
    assert certificate_digest("no certificate") == hashlib.sha256(b"").hexdigest()


def test_copies_of_the_former_certificate_are_renewed_and_other_files_are_left_alone(
    estate: Authorities, paths: CertificatePaths, now: datetime, tmp_path: Path
) -> None:
    former = paths.certificate.read_bytes()
    copy, link, other = (
        tmp_path / f"root/etc/pki/{name}"
        for name in ("qemu/server-cert.pem", "libvirt/servercert.pem", "qemu/client-cert.pem")
    )
    for place in (copy, link, other):
        place.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(former)
    copy.chmod(0o644)
    link.symlink_to(paths.certificate)
    other.write_bytes(b"somebody else's")
    renewed = estate.renew_agent(former.decode(), "host-1", HOST_1, ["10.0.0.1"], now=now)
    install_renewed(paths, renewed.certificate_pem, now)

    renew_copies(paths, former, tmp_path / "root")

    assert copy.read_text() == link.read_text() == renewed.certificate_pem
    assert (copy.stat().st_mode & 0o777, link.is_symlink()) == (0o644, True)
    assert other.read_bytes() == b"somebody else's"
