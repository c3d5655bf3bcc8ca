"""The function `work` in a loop that does nothing else: as many calls as one process can make.

Runs for as many seconds as the first argument says and prints how many calls it made.
"""

import json
import sys
import time

from functions import work

END = time.monotonic() + float(sys.argv[1])
BODY = b'{"value":"00000000"}'
calls = 0
while time.monotonic() < END:
    json.dumps(work(**json.loads(BODY))).encode()
    calls += 1
print(calls)
