"""Turns ages and answers into what counts: a host's status, and the state document that may be relied on.

Called by whoever gathers reports (`status_of`, `watch_ms`) and by `hosts` (`judge_report`). Ages are monotonic ms.
"""

from nodeagent.wire.facts import HostState
from nodeagent.wire.version import MAJOR
from reconciler.model.reports import HostReport, HostStatus


def status_of(age_ms: int, answered: bool, refused: bool, grace_ms: int, watched_ms: int) -> HostStatus:
    """What an answer of this age makes of a host.

    age_ms: since the last state document; `answered`: whether there was one at all. `refused`: the last thing the
    host said was no. watched_ms: how long the watch has gone on without a gap (see `watch_ms`). A host is silent
    only if nothing was heard for grace_ms while somebody listened all the time; before that it is unknown.
    """
    if refused:
        return "refused"
    if answered and age_ms <= grace_ms:
        return "answering"
    return "silent" if watched_ms > grace_ms else "unknown"


def watch_ms(watched_ms: int, since_last_pass_ms: int, period_ms: int) -> int:
    """How long the watch has gone on at this pass; it begins anew after a pass later than twice its period.

    A process that was stopped heard nobody, and must not take its own absence for that of the hosts.
    """
    if since_last_pass_ms > 2 * period_ms:
        return 0
    return watched_ms + since_last_pass_ms


def judge_report(report: HostReport) -> tuple[HostStatus, str, HostState | None]:
    """Status, detail and state document as far as they may be believed.

    A document in another format's major version, or of another host than was asked, is no answer of this host:
    it is refused and dropped. An answer without a document is unknown.
    """
    state = report.state
    if state is None:
        if report.status == "answering":
            return "unknown", report.detail or "it answered without a state document", None
        return report.status, report.detail, None
    if state.format.major > MAJOR:
        return "refused", f"its facts have format {state.format.major}, newer than format {MAJOR}", None
    if state.host_uuid != report.uuid:
        return "refused", f"the agent at its address says that it is host {state.host_uuid}", None
    return report.status, report.detail, state
