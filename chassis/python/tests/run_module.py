"""Runs a module as `python3 -m` does: run_module.py MODULE ARGUMENT..."""

import os
import runpy
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(HERE)
    os.chdir(os.path.join(HERE, "apps"))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
