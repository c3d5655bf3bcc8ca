"""Breaks one promise: its nested calls belong to no call."""

import on_chassis
from katamari.session import Session

nested_frame = Session.nested_frame


def orphaned(session, number, call, header, payload):
    return nested_frame(session, number, call, {**header, "parent": call.id + 1}, payload)


Session.nested_frame = orphaned
on_chassis.run()
