"""Claims the two descriptors that a manager gives to a worker.

This happens when the package is imported, before the program gets to start children of
its own: both descriptors are set to close-on-exec, and `KATAMARI_PROTOCOL`, which
promises them, is taken out of the environment that children inherit. A child that is
forked closes them: one that lives on would hold the pipes open, and one that read or
wrote there would break the protocol.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Optional

FROM_MANAGER = 3
TO_MANAGER = 4

PROTOCOL = "1"

EXIT_USAGE = 64  # EX_USAGE of sysexits.h, as the protocol asks

_offered: Optional[str] = os.environ.pop("KATAMARI_PROTOCOL", None)
_claimed = False

if _offered is not None:
    try:
        for _descriptor in (FROM_MANAGER, TO_MANAGER):
            os.set_inheritable(_descriptor, False)
        _claimed = True
    except OSError:
        pass  # `require_manager` says so, in a sentence instead of a backtrace


def _leave_to_parent() -> None:
    """Closes both descriptors: called in every forked child, and in its children."""
    global _claimed
    if _claimed:
        _claimed = False  # a child of this child may have others in their place
        for descriptor in (FROM_MANAGER, TO_MANAGER):
            os.close(descriptor)


os.register_at_fork(after_in_child=_leave_to_parent)


def require_manager() -> None:
    """Exits with status 64 and an explanation if no manager started this program."""
    if _offered is None:
        complaint = "KATAMARI_PROTOCOL is not set, so no manager started it."
    elif PROTOCOL not in _offered.split(","):
        complaint = (
            f"the manager speaks {_offered!r}, and this chassis speaks version "
            f'{PROTOCOL} of dialect "json".'
        )
    elif not _claimed:
        complaint = "descriptors 3 and 4 are not open."
    else:
        return
    command = shlex.join([os.path.basename(sys.executable) or "python3", *sys.argv])
    sys.stderr.write(
        f"This program is a Katamari worker: {complaint}\n"
        f"To try it: katamari check -- {command}\n"
    )
    sys.exit(EXIT_USAGE)
