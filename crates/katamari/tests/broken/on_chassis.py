"""The conformance worker of the Python chassis, for workers that break one thing of it."""

import pathlib
import runpy
import sys

CHASSIS = pathlib.Path(__file__).resolve().parents[4] / "chassis" / "python"
sys.path.insert(0, str(CHASSIS))


def run():
    runpy.run_path(str(CHASSIS / "tests" / "conformance.py"))
