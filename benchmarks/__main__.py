"""`make bench`."""

from benchmarks import passes

if __name__ == "__main__":
    passes.main()
