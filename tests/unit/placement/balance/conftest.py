"""The laws here run with the profiles of tests/laws: 25 examples while developing, 200 in CI, no deadline."""

import tests.laws.conftest  # noqa: F401
