"""The parts of `benchmarks.training_step`, each a process that ends with a line of JSON.

    python -m benchmarks.training_step_parts PART ARGUMENT REPEATS

PyTorch's processes load no JAX and ours no PyTorch, so that each has its own peak memory.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np


def timed(step, repeats: int, between=lambda: None) -> list[float]:
    """Seconds of each of some calls, after one that is not counted; `between` is called before each."""
    step()
    seconds = []
    for _ in range(repeats):
        between()
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    return seconds


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def ours(folder, repeats, averaged=False):
    _keep_freed_memory()
    from benchmarks.paper_step import PaperStep
    from fml_jax.training.host_memory import give_back_freed_memory

    step = PaperStep(batch=load(folder, "batch"), averaged=averaged)
    give_back_freed_memory()  # as training does when a stage begins
    return {"seconds": timed(step, repeats), "peak": peak_bytes(), "rows": step.rows}


def ours_averaged(folder, repeats):
    return ours(folder, repeats, averaged=True)


def measure(changes, repeats):
    _keep_freed_memory()
    from benchmarks.paper_step import PaperStep

    step = PaperStep(**json.loads(changes))
    return {
        "seconds": timed(step, repeats),
        "rows": step.rows,
        "count": step.count,
        "vertices": step.model.vertex_count,
    }


def pytorch(folder, repeats, averaged=False):
    step = plain_step(folder, averaged)
    return {"seconds": timed(step, repeats), "peak": peak_bytes(), "rows": len(step.batch["crop"])}


def pytorch_averaged(folder, repeats):
    return pytorch(folder, repeats, averaged=True)


def pytorch_kept(folder, repeats):
    """PyTorch with the C library's settings that `experiments.train` makes for ours."""
    _keep_freed_memory()
    return pytorch(folder, repeats)


def prepare(folder, repeats):
    """Writes what both programs begin with."""
    from benchmarks.paper_step import PaperStep, flat, plain_batch, plain_model

    step = PaperStep()
    params = flat(step.state.params)
    save(folder, "params", params)
    save(folder, "batch", step.batch)
    save(folder, "plain_batch", plain_batch(step))
    save(folder, "model", plain_model(step.model))
    stage = step.stage
    rates = {name: group.learning_rate for name, group in stage.optimizer.groups.items()}
    settings = {"weights": stage.full._asdict(), "score": stage.score, "rates": rates}
    Path(folder, "settings.json").write_text(json.dumps(settings), "utf-8")
    return {
        "vertices": step.model.vertex_count,
        "parameters": sum(array.size for array in params.values()),
        "rows": step.rows,
    }


def check(folder, repeats):
    """How far the two programs' losses and gradients are apart.

    Raises:
      SystemExit: further than `training_step.TOLERANCE`.
    """
    import torch

    from benchmarks.paper_step import PaperStep, flat
    from benchmarks.plain_pytorch import state_dict
    from benchmarks.training_step import TOLERANCE

    step = PaperStep(parameters=load(folder, "params"), batch=load(folder, "batch"))
    loss, gradients = step.gradients()
    plain_loss, plain = plain_step(folder, averaged=False).gradients()
    found = {"loss": abs(loss - plain_loss) / abs(plain_loss)}
    as_arrays = {name: np.asarray(leaf) for name, leaf in flat(gradients).items()}
    for name, mine in state_dict(as_arrays).items():
        found[name] = float(torch.linalg.vector_norm(mine - plain[name]) / torch.linalg.vector_norm(plain[name]))
    if far := [f"{name} {gap:.1e}" for name, gap in found.items() if not gap < TOLERANCE]:
        sys.exit(f"the two programs differ: {', '.join(far)}")
    return found


def breakdown(folder, repeats):
    """The step and its parts against the ceilings, the medians of some tries of each."""
    _keep_freed_memory()
    from benchmarks.paper_step import PaperStep
    from benchmarks.step_floor import Ceilings, measured_parts

    step = PaperStep(parameters=load(folder, "params"), batch=load(folder, "batch"))
    ceilings = Ceilings()
    seconds = float(np.median(timed(step, repeats, ceilings.probe)))
    parts = measured_parts(step, repeats, ceilings.probe)
    for name, each in parts.items():
        operations, each["spared"] = each["flops"] / ceilings.flops, step.spared.get(name, 0)
        each["floor"] = max(operations, each["bytes"] / ceilings.bandwidth)
        each["stricter"] = max(operations, (each["bytes"] - each["spared"]) / ceilings.bandwidth)
    return {
        "flops": ceilings.flops,
        "bytes": ceilings.bandwidth,
        "parts": parts,
        "step": seconds,
    }


def start(folder, repeats):
    from benchmarks.paper_step import PaperStep

    step = PaperStep()
    begin = time.perf_counter()
    lowered = step.lowered()
    between = time.perf_counter()
    lowered.compile()
    return {"trace": between - begin, "compile": time.perf_counter() - between}


def _keep_freed_memory():
    from fml_jax.training.host_memory import keep_freed_memory

    keep_freed_memory()


def plain_step(folder, averaged):
    from benchmarks.plain_pytorch import PlainStep

    settings = json.loads(Path(folder, "settings.json").read_text("utf-8"))
    arrays = {"params": load(folder, "params"), "model": load(folder, "model"), "batch": load(folder, "plain_batch")}
    return PlainStep(arrays, settings["weights"], settings["score"], settings["rates"], averaged)


def save(folder, name, arrays):
    np.savez(Path(folder, f"{name}.npz"), **{key: np.asarray(array) for key, array in arrays.items()})


def load(folder, name) -> dict[str, np.ndarray]:
    with np.load(Path(folder, f"{name}.npz")) as file:
        return dict(file)


if __name__ == "__main__":
    called, argument, repeats = sys.argv[1:]
    parts = (ours, ours_averaged, measure, pytorch, pytorch_averaged, pytorch_kept, prepare, check, breakdown, start)
    print(json.dumps({each.__name__: each for each in parts}[called](argument, int(repeats))))
