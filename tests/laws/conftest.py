"""Profiles of the laws: 25 examples while developing, 200 in CI (`--hypothesis-profile=ci`, or CI in the environment)."""

import os

from hypothesis import HealthCheck, Phase, settings

COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    "phases": (Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink),
}
settings.register_profile("quick", max_examples=25, **COMMON)
settings.register_profile("ci", max_examples=200, derandomize=True, **COMMON)
settings.load_profile("ci" if os.environ.get("CI") else "quick")
