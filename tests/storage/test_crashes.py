"""Whatever happens while a model is saved, the folder holds the old model or the new one, whole."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from llmrec.errors import LLMRecWarning, ModelFileError
from llmrec.storage import folders, inspect_model, load_model, models, save_model

from .samples import HERE, Bag

OLD = Bag(content=np.arange(5000.0), name="old")
NEW = Bag(content=np.arange(7000.0), name="new")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def name_of_whole_model(folder):
    """Load a model, check that its parts belong together, and return its name."""
    model = load_model(folder, trust=[HERE])
    assert len(model.content) == {"old": 5000, "new": 7000}[model.name]
    return model.name


def our_files(folder):
    return {path.name for path in folder.iterdir() if path.name != ".llmrec-lock"}


class Steps:
    """Counts each touch of the disk in a save, and lets one of them go wrong, before or after it is done."""

    POINTS = [
        (os, "fsync"),
        (pathlib.Path, "replace"),
        (pathlib.Path, "open"),
        (pathlib.Path, "unlink"),
        (pathlib.Path, "mkdir"),
    ]

    def __init__(self, monkeypatch, fail_at, is_done_first, fail):
        self.taken = 0
        self.fail_at = fail_at
        self.is_done_first = is_done_first
        self.fail = fail
        for owner, name in self.POINTS:
            monkeypatch.setattr(owner, name, self.watched(getattr(owner, name)))

    def watched(self, original):
        def step(*arguments, **options):
            number = self.taken
            self.taken += 1
            if number != self.fail_at:
                return original(*arguments, **options)
            if self.is_done_first:
                original(*arguments, **options)
            return self.fail()

        return step


def raise_disk_error():
    raise OSError(errno.EIO, "the disk is gone")


def save_with_failure(monkeypatch, folder, fail_at, is_done_first):
    """Save NEW with a failure at one step; return whether the save got that far, and whether it raised."""
    with monkeypatch.context() as patch:
        steps = Steps(patch, fail_at, is_done_first, raise_disk_error)
        try:
            save_model(NEW, folder)
        except OSError:
            return steps.taken > fail_at, True
        return steps.taken > fail_at, False


@pytest.mark.parametrize("is_done_first", [False, True], ids=["before", "after"])
def test_an_error_at_any_step_leaves_a_whole_model(tmp_path, monkeypatch, is_done_first):
    seen = set()
    for step in range(100):
        folder = tmp_path / str(step)
        save_model(OLD, folder)
        happened, has_raised = save_with_failure(monkeypatch, folder, step, is_done_first)
        name = name_of_whole_model(folder)
        assert has_raised or name == "new", f"step {step} failed in silence"
        seen.add((name, has_raised))
        save_model(NEW, folder)
        assert name_of_whole_model(folder) == "new"
        assert len(our_files(folder)) == 2, "an interrupted save left files behind"
        if not happened:
            break
    assert step >= 8
    assert {("old", True), ("new", False)} <= seen


@pytest.mark.parametrize("is_done_first", [False, True], ids=["before", "after"])
def test_an_error_at_any_step_of_a_first_save_can_be_repeated(tmp_path, monkeypatch, is_done_first):
    for step in range(100):
        folder = tmp_path / str(step) / "deep"
        happened, has_raised = save_with_failure(monkeypatch, folder, step, is_done_first)
        if has_raised and folder.is_dir():
            assert not [name for name in our_files(folder) if name.endswith(".tmp")]
        if has_raised and not (folder / "model.json").exists():
            with pytest.raises(ModelFileError):
                load_model(folder, trust=[HERE])
        else:
            assert name_of_whole_model(folder) == "new"
        save_model(NEW, folder)
        assert name_of_whole_model(folder) == "new"
        assert len(our_files(folder)) == 2
        if not happened:
            break
    assert step >= 8


def in_child(work):
    """Run ``work`` in a forked child, which must not come back by itself; return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


@needs_fork
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("is_done_first", [False, True], ids=["before", "after"])
def test_a_kill_at_any_step_leaves_a_whole_model(tmp_path, monkeypatch, is_done_first):
    seen = set()
    for step in range(100):
        folder = tmp_path / str(step)
        save_model(OLD, folder)

        def work(step=step, folder=folder):
            Steps(monkeypatch, step, is_done_first, lambda: os.kill(os.getpid(), signal.SIGKILL))
            save_model(NEW, folder)

        status = in_child(work)
        seen.add(name_of_whole_model(folder))
        save_model(NEW, folder)
        assert name_of_whole_model(folder) == "new"
        assert len(our_files(folder)) == 2, "what the killed save left was not swept"
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert step >= 8
    assert seen == {"old", "new"}


@needs_fork
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("limit", [0, 10, 1000, 30_000, 56_000])
def test_a_full_disk_keeps_the_old_model(tmp_path, limit):
    import resource

    save_model(OLD, tmp_path)

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            save_model(NEW, tmp_path)
        except OSError as error:
            os._exit(7 if error.errno == errno.EFBIG else 1)

    assert os.waitstatus_to_exitcode(in_child(work)) == 7
    assert name_of_whole_model(tmp_path) == "old"
    assert len(our_files(tmp_path)) == 2


SAVING_FOREVER = textwrap.dedent("""
    import sys
    import numpy as np
    from llmrec.storage import save_model
    from tests.storage.samples import Bag

    models = [Bag(content=np.full(40_000, float(n)), name=str(n)) for n in range(2)]
    save_model(models[0], sys.argv[1])
    print("ready", flush=True)
    while True:
        for model in models:
            save_model(model, sys.argv[1])
""")


def test_a_process_killed_at_random_leaves_a_whole_model(tmp_path):
    folder = tmp_path / "model"
    command = [sys.executable, "-c", SAVING_FOREVER, str(folder)]
    root = pathlib.Path(__file__).parents[2]
    for delay in (0.01, 0.033):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
            assert process.stdout.readline() == b"ready\n"
            for _ in range(5):
                # Read while it writes: the reader, too, sees one model or the other.
                model = load_model(folder, trust=[HERE])
                assert set(model.content) == {float(model.name)}
            time.sleep(delay)
            process.kill()
        model = load_model(folder, trust=[HERE])
        assert set(model.content) == {float(model.name)}


def test_saves_at_the_same_time_do_not_mix(tmp_path):
    failures = []

    def save_often(size):
        model = Bag(content=np.full(size, float(size)), name=str(size))
        try:
            for _ in range(10):
                save_model(model, tmp_path)
                loaded = load_model(tmp_path, trust=[HERE])
                assert set(loaded.content) == {float(len(loaded.content))} == {float(loaded.name)}
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=save_often, args=(size,)) for size in (1000, 2000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(our_files(tmp_path)) == 2


def test_a_save_waits_for_the_one_before(tmp_path):
    save_model(OLD, tmp_path)
    with folders.locked(tmp_path) as is_held:
        assert is_held
        waiting = threading.Thread(target=save_model, args=(NEW, tmp_path))
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        assert name_of_whole_model(tmp_path) == "old"
    waiting.join(10)
    assert name_of_whole_model(tmp_path) == "new"


def test_without_locks_a_save_warns_and_deletes_nothing(tmp_path, monkeypatch):
    def refuse(stream):
        raise OSError(errno.ENOLCK, "no locks here")

    save_model(OLD, tmp_path)
    monkeypatch.setattr(folders, "_acquire", refuse)
    with pytest.warns(LLMRecWarning, match="has no locks") as caught:
        save_model(NEW, tmp_path)
    assert caught[0].filename == __file__
    assert name_of_whole_model(tmp_path) == "new"
    assert len(our_files(tmp_path)) == 3


def test_a_lock_that_fails_otherwise_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_acquire", lambda stream: raise_disk_error())
    with pytest.raises(OSError, match="the disk is gone"):
        save_model(NEW, tmp_path)


def test_a_load_follows_a_save_that_ends_meanwhile(tmp_path, monkeypatch):
    save_model(OLD, tmp_path)
    read = models._checked_file

    def overtaken(path, entry):
        monkeypatch.setattr(models, "_checked_file", read)
        save_model(NEW, tmp_path)
        return read(path, entry)

    monkeypatch.setattr(models, "_checked_file", overtaken)
    assert name_of_whole_model(tmp_path) == "new"


def test_a_load_follows_a_save_that_ends_after_the_check(tmp_path, monkeypatch):
    save_model(OLD, tmp_path)
    opened = models.open_tensors

    def overtaken(paths):
        monkeypatch.setattr(models, "open_tensors", opened)
        save_model(NEW, tmp_path)
        return opened(paths)

    monkeypatch.setattr(models, "open_tensors", overtaken)
    assert name_of_whole_model(tmp_path) == "new"


def test_a_loaded_model_outlives_its_folder(tmp_path):
    save_model(OLD, tmp_path)
    loaded = load_model(tmp_path, trust=[HERE])
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert loaded.content.sum() == np.arange(5000.0).sum()
    loaded.content[0] = 1


def test_reading_changes_nothing(tmp_path):
    save_model(OLD, tmp_path)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    load_model(tmp_path, trust=[HERE])
    inspect_model(tmp_path)
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == before
