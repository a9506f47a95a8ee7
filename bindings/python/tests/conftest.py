"""What a run of the tests is for must be there, where a test would otherwise be skipped."""

from __future__ import annotations

import importlib.util
import os
import warnings

import pytest

import libnumpack
from libnumpack import devices
from libnumpack._native import lib

MODULES = "NUMPACK_TEST_MODULES"
"""Names modules that have to be installed."""
DRIVER = "NUMPACK_TEST_DRIVER"
"""Names the Vulkan driver that tests are to run with."""


def pytest_report_header() -> str:
    return f"libnumpack: {libnumpack.__file__}, library {lib.version().decode()}"


def pytest_sessionstart() -> None:
    missing = [name for name in os.environ.get(MODULES, "").split() if importlib.util.find_spec(name) is None]
    if missing:
        pytest.exit(f"{MODULES} asks for what is not installed: {', '.join(missing)}", 3)
    if os.environ.get(DRIVER):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that it is a software device
            try:
                devices.opened(devices.device("vulkan"))
            except libnumpack.errors.DeviceError as e:
                pytest.exit(f"{DRIVER} asks for a Vulkan device: {e}", 3)
