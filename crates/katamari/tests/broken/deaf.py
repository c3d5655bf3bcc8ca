"""Breaks one promise: a running function never sees that it was cancelled."""

import on_chassis
from katamari.one_slot import OneSlot

OneSlot.refresh = lambda session, call: None
on_chassis.run()
