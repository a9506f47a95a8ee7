"""All named cases."""

from __future__ import annotations

import training_cases  # noqa: F401, registers its cases
import value_cases  # noqa: F401, registers its cases
from registry import CASES, Case, build

__all__ = ["CASES", "Case", "build"]
