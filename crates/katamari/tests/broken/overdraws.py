"""Breaks one promise: it streams on without credit."""

import on_chassis
from katamari.session import Call

Call.use_credit = lambda call, size: True
on_chassis.run()
