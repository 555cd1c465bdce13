"""Programs whose traces are kept on disk: found again, made anew where they must be, and never a reason to fail."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import FaceCode
from fml_jax.reconstruction import kept_programs
from fml_jax.reconstruction.kept_programs import KeptProgram


@pytest.fixture
def folder(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


class Counting:
    """A function of a code and a factor that counts how often it is traced."""

    def __init__(self):
        self.traces = 0

    def __call__(self, code, *, factor):
        self.traces += 1
        return code.replace(identity=factor * code.identity), None


CODE = FaceCode(*(np.arange(size, dtype=np.float32) for size in (2, 3, 4, 3, 3, 27)))


def called(function, factor=2.0):
    return KeptProgram(function, "twice")(CODE, factor=np.float32(factor))


def traces_in(folder):
    return sorted(folder.glob("trace_*"))


def test_a_kept_program_is_not_traced_again(folder):
    first, second = Counting(), Counting()
    results = [called(first), called(second)]
    assert (first.traces, second.traces) == (1, 0)
    for code, nothing in results:
        assert isinstance(code, FaceCode) and nothing is None
        np.testing.assert_array_equal(code.identity, [0, 2])
        np.testing.assert_array_equal(code.illumination, CODE.illumination)


def test_other_shapes_are_other_programs(folder):
    program = KeptProgram(lambda x: 2 * x, "doubled")
    for size in (2, 3):
        np.testing.assert_array_equal(program(jnp.ones(size)), np.full(size, 2))
    assert len(traces_in(folder)) == 2


def test_a_damaged_file_is_made_anew(folder):
    called(Counting())
    (path,) = traces_in(folder)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-9] + b"?" + whole[-8:]):
        path.write_bytes(damaged)
        again = Counting()
        np.testing.assert_array_equal(called(again)[0].identity, [0, 2])
        assert again.traces == 1
        called(again)
        assert again.traces == 1


def test_without_a_folder_nothing_is_kept(folder, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", None)
    np.testing.assert_array_equal(called(Counting())[0].identity, [0, 2])
    assert not traces_in(folder)


def test_a_folder_that_cannot_be_written_does_no_harm(folder):
    (folder / "file").write_text("no folder")
    jax.config.update("jax_compilation_cache_dir", str(folder / "file"))
    np.testing.assert_array_equal(called(Counting())[0].identity, [0, 2])


def test_of_several_processes_one_compiles_and_the_others_read_what_it_kept(folder):
    """Threads stand for processes: each has a program of its own, and locks exclude them alike."""
    compiling, most, gate = [], [], threading.Lock()

    def slow(x):
        with gate:
            compiling.append(x)
            most.append(len(compiling))
        time.sleep(0.3)
        with gate:
            compiling.pop()
        return 2 * x

    def call():
        np.testing.assert_array_equal(KeptProgram(slow, "slow")(jnp.ones(2)), [2, 2])

    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(call) for _ in range(3)]:
            future.result()
    assert most == [1]  # traced once, not three times


def test_a_process_that_fails_leaves_the_program_to_the_others(folder):
    def broken(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        KeptProgram(broken, "program")(jnp.ones(2))
    np.testing.assert_array_equal(KeptProgram(lambda x: 2 * x, "program")(jnp.ones(2)), [2, 2])


def test_without_locks_of_files_each_process_compiles_for_itself(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    with kept_programs._once_on_the_machine(tmp_path / "trace"):
        pass
    assert (tmp_path / "compiled_trace").read_text() == "compiled"


QUICKLY, FOR_GOOD = ({"xla_backend_optimization_level": level} for level in (0, 1))


@pytest.fixture
def levels(monkeypatch):
    """The level with which each program is compiled that this thread and its programs compile; nothing is kept."""
    kept_programs.compiled_for_good()
    before, found, jit = jax.config.jax_compilation_cache_dir, [], jax.jit

    def noting(function, compiler_options=None):
        if compiler_options is not None:
            found.append(compiler_options["xla_backend_optimization_level"])
        return jit(function, compiler_options=compiler_options)

    monkeypatch.setattr(jax, "jit", noting)
    jax.config.update("jax_compilation_cache_dir", None)
    yield found
    jax.config.update("jax_compilation_cache_dir", before)


def quickly_compiled(function):
    return KeptProgram(function, "doubled", QUICKLY, for_good=FOR_GOOD)


def run(program, times):
    """The compiled program after so many runs."""
    for _ in range(times):
        np.testing.assert_array_equal(program(jnp.ones(2)), [2, 2])
    kept_programs.compiled_for_good()
    (compiled,) = program._compiled.values()
    return compiled


def test_a_program_that_runs_often_is_compiled_for_good_once(levels):
    program = quickly_compiled(lambda x: 2 * x)
    quick = run(program, kept_programs.OFTEN - 1)
    assert levels == [0]
    good = run(program, 1)
    assert levels == [0, 1] and good is not quick
    assert run(program, 2 * kept_programs.OFTEN) is good and levels == [0, 1]


def test_a_program_that_is_kept_on_disk_stays_the_quick_one(levels, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    run(quickly_compiled(lambda x: 2 * x), 2 * kept_programs.OFTEN)
    assert levels == [0]


def test_the_quick_program_stays_if_the_other_cannot_be_compiled(levels, caplog):
    program = KeptProgram(lambda x: 2 * x, "doubled", QUICKLY, for_good=FOR_GOOD | {"no_such_option": 1})
    quick = run(program, kept_programs.OFTEN)
    assert run(program, 1) is quick
    assert "doubled stays a quickly compiled program" in caplog.text


def test_threads_that_share_a_program_compile_it_for_good_once(levels):
    program = quickly_compiled(lambda x: 2 * x)
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(program, jnp.ones(2)) for _ in range(4 * kept_programs.OFTEN)]:
            np.testing.assert_array_equal(future.result(), [2, 2])
    kept_programs.compiled_for_good()
    assert levels.count(1) == 1


def test_work_beside_compilation_begins_when_the_next_program_has_been_traced(folder):
    done = threading.Event()
    program, seen = KeptProgram(lambda x: seen.append(done.is_set()) or 2 * x, "beside"), []
    program(np.ones(2, np.float32))
    kept_programs.beside_compilation(done.set)
    program(np.ones(2, np.float32))  # compiled before
    assert not done.is_set()
    program(np.ones(3, np.float32))
    assert done.wait(10) and seen == [False, False]
