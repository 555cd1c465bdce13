"""What processes that work for another one have in common."""

import multiprocessing
import multiprocessing.connection
import os
import threading

import cv2


def begin_worker() -> None:
    """Called once in a worker: it ends when its parent does, and OpenCV keeps to one core, since each has its worker."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _die_with_parent():
    """A process whose parent was killed would wait for work for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
