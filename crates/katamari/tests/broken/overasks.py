"""Breaks one promise: with each piece of an input it asks for all the credit that there may be."""

import on_chassis
from katamari.inputs import Incoming

Incoming.grant = lambda incoming, credit: credit
on_chassis.run()
