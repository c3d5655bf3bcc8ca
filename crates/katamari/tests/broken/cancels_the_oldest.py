"""Breaks one promise: with several slots, a cancel reaches the call that has run longest."""

import on_chassis
from katamari.frames import CANCEL
from katamari.many_slots import ManySlots

take = ManySlots._take


def take_for_oldest(session, frame):
    letter, header, payload = frame
    if letter == CANCEL and header["id"] in session._calls:
        header = {**header, "id": min(session._calls)}
    take(session, (letter, header, payload))


ManySlots._take = take_for_oldest
on_chassis.run()
