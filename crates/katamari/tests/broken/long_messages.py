"""Breaks one promise: it cuts error messages where they just fit into a header."""

import on_chassis
from katamari import failures

failures.MESSAGE_MAX = 10_000
on_chassis.run()
