"""The Ray runner on a real local cluster: the same bytes, also when a worker is killed midway."""

import os
import signal
import sys
import threading

import pytest

from fml_jax.errors import InputError
from fml_jax.runners import run_on_ray
from tests.corpus.stub_build import build
from tests.corpus.test_shards import contents, finished, wait_until


def test_without_ray_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="pip install"):
        build(tmp_path, workers=1, runner=run_on_ray)


@pytest.mark.slow
def test_a_cluster_makes_the_same_bytes_though_a_worker_is_killed(tmp_path):
    if "CI" not in os.environ:  # there nothing may be left out
        pytest.importorskip("ray")
    import ray

    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        killed = []

        def kill_a_worker():
            wait_until(lambda: finished(tmp_path / "ray") > 1 and busy_workers())
            killed.extend(busy_workers()[:1])
            os.kill(killed[0], signal.SIGKILL)

        (tmp_path / "ray").mkdir()
        killer = threading.Thread(target=kill_a_worker)
        killer.start()
        build(tmp_path / "ray", workers=2, seconds=0.1, runner=run_on_ray)
        killer.join()
    finally:
        ray.shutdown()
    assert killed
    build(tmp_path / "local", workers=1)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def busy_workers():
    """Processes of this cluster that are at a task (Ray names them after it)."""
    mine = str(os.getpid())
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            title = open(f"/proc/{pid}/cmdline").read().strip("\0")
            if title.startswith("ray::_do") and is_descendant(int(pid), mine):
                found.append(int(pid))
        except OSError:
            pass
    return found


def is_descendant(pid, ancestor):
    while pid > 1:
        pid = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
        if str(pid) == ancestor:
            return True
    return False
