"""Breaks one promise: it streams on without credit."""

import on_chassis
from katamari.one_slot import OneSlot
from katamari.session import Call

wait_for = OneSlot.wait_for


def take_at_once(session, call, take):
    """What can be had, without a look at what has come meanwhile."""
    got = take()
    return wait_for(session, call, take) if got is None else got


OneSlot.wait_for = take_at_once
Call.use_credit = lambda call, size: True
on_chassis.run()
