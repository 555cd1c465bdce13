"""Processes of commands: how many, that they end with their parent, and waste no time on garbage."""

import atexit
import gc
import multiprocessing
import multiprocessing.connection
import os
import threading


def available_cores() -> int:
    """The cores that this process may use; where the system does not tell, all that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Called once in a worker, which from then on ends when its parent does, however that ends."""
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent():
    """A process whose parent was killed would wait for work for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def collect_garbage_rarely() -> None:
    """Called in a process that is a command's own, before it imports much, and again once it has loaded what stays.

    What exists at the call is not looked through for garbage again. By default Python does so after each 700 new
    objects, some of which are looked through with all others: a fifth of the time of tracing a network.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)  # what is left at the end is removed before the modules that it needs
