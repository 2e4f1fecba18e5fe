"""One pass for commands that only look: over the hosts as they are, with what the store holds; or over a file."""

from reconciler.cli.confirmations import opened_store
from reconciler.cli.home import find_home
from reconciler.cli.loading import load_reports, long_lived
from reconciler.cli.observing import observe_now
from reconciler.model.desired import Desired
from reconciler.model.options import PassOptions
from reconciler.model.reports import Reports
from reconciler.pipeline import Pass, run_pass


def make_pass(desired: Desired, observed: str | None, options: PassOptions | None = None) -> Pass:
    """What `apply` would plan now; or, from an observed file, what anybody would plan with it, whatever is paused here."""
    options = options or PassOptions()
    if observed:
        reports = load_reports(observed)
    else:
        reports = observe_now(desired)
        options = _with_memories(desired, options, reports)
    with long_lived():
        return run_pass(desired, reports, options=options)


def _with_memories(desired: Desired, options: PassOptions, reports: Reports) -> PassOptions:
    """Options with what is paused or keeps failing, where something was applied from here."""
    if not find_home().has_store:
        return options
    from reconciler.loop import add_memories

    with opened_store() as store:
        return add_memories(store, desired, options, reports)
