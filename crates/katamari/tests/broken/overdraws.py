"""Breaks one promise: it streams on without credit."""

import on_chassis
from katamari.one_slot import OneSlot

OneSlot.wait_for_credit = lambda session, call, size: None
on_chassis.run()
