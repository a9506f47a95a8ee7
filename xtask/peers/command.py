"""Runs the command under test."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


class Failure(Exception):
    """A check that did not hold."""


class Numpack:
    """The command under test."""

    TIMEOUT = 120

    def __init__(self, binary: Path) -> None:
        self.binary = binary.resolve()

    def run(self, *arguments: Any, status: int = 0) -> str:
        """Runs the command and returns its output; any other exit status is a failure."""
        command = [str(self.binary), *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=self.TIMEOUT, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{arguments[0]} took more than {self.TIMEOUT} s") from error
        if done.returncode != status:
            said = (done.stderr or done.stdout).decode(errors="backslashreplace").strip()
            raise Failure(f"{arguments[0]} left with {done.returncode}, expected {status}: {said[-1500:]}")
        return done.stdout.decode()

    def json(self, *arguments: Any) -> Any:
        """Runs the command and reads its output as JSON."""
        output = self.run(*arguments)
        try:
            return json.loads(output)
        except ValueError as error:
            raise Failure(f"{arguments[0]} printed what is not json: {error}") from error
