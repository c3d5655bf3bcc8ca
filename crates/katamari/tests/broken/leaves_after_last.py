"""Breaks one promise: with several slots, it exits right after its last answer."""

import os

import on_chassis
from katamari.many_slots import ManySlots

execute = ManySlots.execute


def execute_and_leave(session, call, payload):
    frame, last = execute(session, call, payload)
    if last:
        session.write(frame)
        os._exit(0)
    return frame, last


ManySlots.execute = execute_and_leave
on_chassis.run()
