"""`make bench`: all measurements, or those named: `python -m benchmarks passes apply facts`."""

import sys
from importlib import import_module

TOPICS = ("passes", "apply", "facts")


def main() -> None:
    """Runs the measurements one after another."""
    wanted = sys.argv[1:] or list(TOPICS)
    unknown = [one for one in wanted if one not in TOPICS]
    if unknown:
        sys.exit(f"there is no {unknown[0]} to measure; there is {', '.join(TOPICS)}")
    for topic in wanted:
        sys.argv[1:] = []
        import_module(f"benchmarks.{topic}").main()


if __name__ == "__main__":
    main()
