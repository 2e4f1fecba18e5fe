"""`make bench`: all measurements, or those named: `python -m benchmarks passes apply facts`."""

import sys
from importlib import import_module

TOPICS = ("passes", "balance", "apply", "facts")


def main() -> None:
    """Runs the measurements one after another; the exit status is 1 if something is slower or larger than wanted."""
    wanted = sys.argv[1:] or list(TOPICS)
    unknown = [one for one in wanted if one not in TOPICS]
    if unknown:
        sys.exit(f"there is no {unknown[0]} to measure; there is {', '.join(TOPICS)}")
    sys.argv[1:] = []
    missed = [one for topic in wanted for one in import_module(f"benchmarks.{topic}").main()]
    if missed:
        sys.exit(f"not as wanted: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
