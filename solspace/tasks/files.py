"""Tasks in a file of one's own, and which files this machine has been given.

A file is Python, and reading it runs it. So a file is read where the user gives it, and nowhere
else: a store says from which text its task was made, by a digest, and never where to find code to
run. What a user has given once is remembered on his own machine (path and digest), so that a store
made from it can be worked on without naming the file again, as long as the file is where it was
and has not been changed by a byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import tempfile
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solspace.errors import SolspaceError
from solspace.tasks import registry
from solspace.tasks.task import Task

__all__ = ["SOURCE", "find_tasks", "load_tasks", "own_modules", "read_source"]

MODULE = "solspace_task_file_"  # before the names of the modules that files become
SOURCE = "task_source"  # attribute of a population
MOST_TEXT = 200_000  # characters of a file that a store keeps
_GIVE = "give a Python file with a solspace.Task in it"


def load_tasks(file: str | os.PathLike[str], *, required: bool = True) -> tuple[Task, ...]:
    """Read the tasks of a file: every `Task` in it, and those that it registers.

    They are known by their names from now on, as after `register_task`, and stores made of them
    remember the file. It is remembered on this machine too.

    Parameters
    ----------
    file : str or path
        A Python file. Reading it runs it. It may import installed packages, and nothing that lies
        beside it.
    required : bool
        Whether a file without a task is an error; it may register something else.

    Returns
    -------
    tuple of Task

    Raises
    ------
    SolspaceError
        Where there is no such file, it fails, has no task or two of one name, or one of the name
        of a task of the package, or a task cannot be used (see `check_task`).

    Examples
    --------
    >>> load_tasks("nowhere.py")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: nowhere.py: no such file; give a Python file with ...
    """
    shown, path = os.fspath(file), os.path.realpath(file)
    if not os.path.isfile(path):
        raise SolspaceError(f"{shown}: no such file; {_GIVE}")
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise SolspaceError(f"{shown}: cannot be read ({error.strerror}); {_GIVE}") from None
    found = _load(shown, path, text, required=required)
    _remember(path, _digest(text))
    return found


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _load(shown: str, path: str, text: bytes, *, required: bool = True) -> tuple[Task, ...]:
    """Run what was read, once, and register what it has."""
    digest = _digest(text)
    before = registry.registered()
    name = MODULE + "".join(c if c.isalnum() else "_" for c in path.strip(os.sep))
    module = types.ModuleType(name)
    module.__file__ = path
    earlier = sys.modules.get(name)
    sys.modules[name] = module
    try:
        try:
            # What was hashed is what runs, not what the file has become meanwhile.
            exec(compile(text, path, "exec"), module.__dict__)
        except SolspaceError as error:
            raise SolspaceError(f"{shown}: {error}") from error
        except (Exception, SystemExit) as error:
            raise SolspaceError(
                f"{shown}: fails when read ({type(error).__name__}: {error})"
            ) from error
        found = _tasks_in(shown, module, before)
        if required and not found:
            raise SolspaceError(f"{shown}: has no task; {_GIVE}, or let it call register_task")
        for task in found.values():
            if registry.registered().get(task.name) is not task:
                try:
                    registry.register_task(task)
                except SolspaceError as error:
                    raise SolspaceError(f"{shown}: {error}") from None
    except BaseException:
        registry.restore(before)
        if earlier is None:
            del sys.modules[name]
        else:
            sys.modules[name] = earlier
        raise
    source = {"file": os.path.basename(path), "sha256": digest}
    with contextlib.suppress(UnicodeDecodeError):
        if len(text) <= MOST_TEXT:
            source["text"] = text.decode()
    for task in found.values():
        registry.set_source(task.name, source)
    return tuple(found.values())


def _tasks_in(shown: str, module: types.ModuleType, before: Mapping[str, Task]) -> dict[str, Task]:
    """By name, those that a file registered and those it holds."""
    new = [t for n, t in registry.registered().items() if before.get(n) is not t]
    held = [value for value in vars(module).values() if isinstance(value, Task)]
    found: dict[str, Task] = {}
    for task in [*new, *held]:
        if registry.is_shipped(task.name):
            if task not in new and task is registry.shipped(task.name):
                continue  # imported, to make another of it
            raise SolspaceError(
                f"{shown}: has a task named {task.name!r}, as one of the package is; give it "
                "another name, so that stores tell the two apart"
            )
        if found.setdefault(task.name, task) is not task:
            raise SolspaceError(f"{shown}: has two tasks named {task.name!r}; rename one of them")
    return found


def own_modules() -> list[types.ModuleType]:
    """The files that were read, as modules: nothing another process could import."""
    return [module for name, module in list(sys.modules.items()) if name.startswith(MODULE)]


# --------------------------------------------------------------------------- remembered


def _memory() -> Path:
    """Where this machine remembers the files its user has given."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "solspace" / "task_files.json"


def _remembered() -> dict[str, list[str]]:
    """Paths by digest, the last given first; nothing where the file is not the user's own."""
    try:
        with open(_memory()) as file:
            status = os.fstat(file.fileno())
            if hasattr(os, "getuid") and (
                status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            ):
                return {}  # what somebody else can write names no code to run
            found = json.load(file)["files"]
        return {str(digest): [str(p) for p in paths] for digest, paths in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _remember(path: str, digest: str) -> None:
    files = _remembered()
    if files.get(digest, [None])[0] == path:
        return
    files[digest] = [path, *(p for p in files.get(digest, []) if p != path)]
    memory = _memory()
    # A home that cannot be written to remembers nothing: the file is then given each time.
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=memory.parent, prefix=".task_files")
        with os.fdopen(handle, "w") as file:
            json.dump({"files": files}, file, indent=1)
        os.replace(name, memory)


def read_source(attrs: Mapping[str, Any]) -> dict[str, str] | None:
    """What attributes of a population say of where its task came from; None where nothing.

    Examples
    --------
    >>> read_source({SOURCE: '{"file": "my_task.py", "sha256": "ab"}'})
    {'file': 'my_task.py', 'sha256': 'ab'}
    """
    try:
        return {str(k): str(v) for k, v in json.loads(str(attrs[SOURCE])).items()}
    except (KeyError, ValueError, AttributeError):
        return None


def find_tasks(task: str, source: Mapping[str, str], where: str) -> None:
    """Make known a task that a store was made of, or note why it stays unknown.

    Parameters
    ----------
    task : str
        Its name, of which there is none here.
    source : mapping of str to str
        What the store says of where it came from, see `solspace.tasks.registry.source_of`. None
        of it is run.
    where : str
        The store and its population, for messages.
    """
    if "entry_point" in source:
        registry.why_unknown(
            task,
            f"{where}: task {task!r} is of the package {source.get('package', '?')} (entry point "
            f"{source['entry_point']}), which is not installed here or has no such task; install "
            "it, or give the task by --task-file or solspace.load_tasks",
        )
        return
    name, digest = source.get("file", "?"), source.get("sha256", "")
    made = f"{where}: task {task!r} was made from {name} (sha256 {digest[:12]})"
    give = f"give the file: --task-file {name}, or solspace.load_tasks({name!r})"
    if "text" in source:
        give += "; its text is kept in the population's attribute task_source"
    told = (
        "which this machine has not been given, and code that a store names is never run by itself"
    )
    for path in _remembered().get(digest, []):
        try:
            text = Path(path).read_bytes()
        except OSError:
            told = f"which is not at {path} any more"
            continue
        if _digest(text) != digest:
            told = f"and {path} has changed since (sha256 {_digest(text)[:12]})"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said when the file was given
                _load(path, path, text)
        except SolspaceError as error:
            told = f"which cannot be read here: {error}"
            continue
        if registry.is_known(task):
            return
    registry.why_unknown(task, f"{made}, {told}; {give}")
