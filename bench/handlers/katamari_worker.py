"""The functions as a Katamari worker."""

from functions import FUNCTIONS, mark_worker
from katamari import Worker

mark_worker()

worker = Worker("bench")
# Only `echo` is idempotent by its own word; other calls say so in their header where it matters.
worker.function(idempotent=True)(FUNCTIONS["echo"])
worker.function(FUNCTIONS["work"])
worker.function(FUNCTIONS["leak"])
worker.run()
