"""Worker processes that end with their parent."""

import multiprocessing
import multiprocessing.connection
import os
import threading


def end_with_parent() -> None:
    """Called once in a worker, which from then on ends when its parent does, however that ends."""
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent():
    """A process whose parent was killed would wait for work for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
