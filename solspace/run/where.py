"""Where work runs: threads of this process, a local cluster, a scheduler, or jobs of SLURM.

The only file that knows ``dask.distributed``. The unit of work is a shard, so results are the
same wherever it runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from solspace.errors import ClusterError, SolspaceError
from solspace.machine import cores
from solspace.store import place

__all__ = [
    "active_scheduler",
    "check_where",
    "check_worker",
    "is_first_worker",
    "kept",
    "map_unordered",
    "most_workers",
    "real_path",
    "stopping",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

_stop = threading.Event()
_POLITE = 1.5  # seconds that worker processes are given to end in order
_CLOSING = 8  # and all of a cluster
_POLL = 0.02  # seconds between two looks at what is done
_LOOK = 5  # and at which workers there are
_NONE_LEFT = 60  # seconds after which workers that went away are not waited for


def stopping() -> bool:
    """Whether the run was interrupted; long work in threads asks this and leaves."""
    return _stop.is_set()


def check_where(
    workers: int | None, scheduler: str | None, slurm: Mapping[str, Any] | None = None
) -> None:
    """Refuse numbers of workers that cannot be, before anything is begun."""
    given = {"--workers": workers, "--scheduler": scheduler, "--slurm": slurm}
    two = [flag for flag, value in given.items() if value is not None]
    if len(two) > 1:
        raise SolspaceError(f"give {' or '.join(two)}, not both")
    number = slurm["workers"] if slurm is not None else workers
    if number is not None and number < 1:
        raise SolspaceError(f"{number} workers; give 1 or more, or leave it out to use threads")
    if slurm is not None:
        _slurm_there()


def active_scheduler() -> str | None:
    """The address of the scheduler whose `distributed.Client` is active here; None without one.

    Nothing of dask is imported to find that out.
    """
    client = _active_client()
    return None if client is None else str(client.scheduler.address)


def _active_client() -> Any:
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    with contextlib.suppress(ValueError):
        client = Client.current()
        if client.status == "running" and not client.asynchronous:
            return client
    return None


def check_worker(path: str, version: str) -> None:
    """In a worker: is the store there, and is this the solspace that sends the work?

    Raises
    ------
    SolspaceError
        Where it is not; the machine is named.
    """
    import socket

    from solspace import __version__

    here = f"the worker on {socket.gethostname()}"
    if version != __version__:
        raise SolspaceError(
            f"{here} has solspace {__version__}, and {version} sends it work; install one "
            "version on both"
        )
    if not place.is_remote(path) and not os.path.isdir(path):
        raise SolspaceError(
            f"{path}: {here} sees no store there; put the store into a folder that every worker "
            "sees under the same name"
        )


def most_workers(room: int) -> int:
    """How many processes this machine, or job, has cores and memory for; 0 without dask's cluster.

    Parameters
    ----------
    room : int
        Bytes of memory for each.
    """
    from importlib.util import find_spec

    if find_spec("distributed") is None:
        return 0
    from distributed.system import MEMORY_LIMIT  # of this job, where it has one of its own

    return min(cores(), MEMORY_LIMIT // room)


def is_first_worker() -> bool:
    """In a worker: is it the first of those that a command started on its own machine?"""
    from distributed import get_worker

    return get_worker().name == 0


def real_path(path: str) -> str:
    """The same place for a process that is in another folder."""
    return path if place.is_remote(path) else os.path.realpath(path)


def map_unordered(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: Mapping[str, Any] | None = None,
    name: str = "work",
    threads: int = 0,
) -> Generator[tuple[Item, Result], None, None]:
    """Apply a function to every item and yield (item, result) as each is done.

    Workers begin when this is called, threads of this process when the first result is asked for;
    they go on until the end, or until it is closed.

    Parameters
    ----------
    function : callable
        Importable by name where workers are used. It travels once, as does what is bound to it;
        tasks carry items alone.
    items : sequence
    workers : int, optional
        Processes of a local cluster. By default threads of this process, one a core.
    scheduler : str, optional
        Address of a running dask scheduler, such as ``"tcp://10.0.0.1:8786"``. Where a
        `distributed.Client` of it is active, that is used.
    slurm : mapping, optional
        ``workers``, how many, and options of `dask_jobqueue.SLURMCluster`.
    name : str
        What the tasks are called on dask's dashboard.
    threads : int
        Threads of this process, where no others are asked for; 0 for one a core.

    Raises
    ------
    SolspaceError
        For less than one worker, two of these options at once, or an address nobody answers at.
    ClusterError
        Where a worker or the scheduler died.
    Exception
        The first one the function raises; what was not begun is then dropped.

    Examples
    --------
    >>> sorted(map_unordered(abs, [-1, 2]))
    [(-1, 1), (2, 2)]
    """
    check_where(workers, scheduler, slurm)
    if not items or workers is scheduler is slurm is None:
        return _threads(function, items, threads or cores())
    # Later calls may have more to do.
    most = len(items) if _kept.get() is None else workers or 1
    with contextlib.ExitStack() as begun:
        client = begun.enter_context(_client(min(workers or 1, most), scheduler, slurm))
        work = _submitted(client, function, items, name)
        return _distributed(begun.pop_all(), client, work)


def _threads(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Generator[tuple[Item, Result], None, None]:
    from threadpoolctl import threadpool_limits

    _stop.clear()
    threads = max(1, min(len(items), threads))
    # Each thread is one core. With more of BLAS's own in it, products would differ in the last
    # bit from those of a worker process.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        futures = {pool.submit(function, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            _stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


# --------------------------------------------------------------------------- dask


class _Kept:
    """Worker processes, or jobs, that several calls of `map_unordered` share."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.client: Any = None


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Start workers once, at the first call that asks for some, for all calls meanwhile.

    A worker takes seconds to import what it needs and to load compiled loops.
    """
    if _kept.get() is not None:
        yield
        return
    own = _Kept()
    token = _kept.set(own)
    try:
        yield
    finally:
        _kept.reset(token)
        own.stack.close()


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None, slurm: Mapping[str, Any] | None) -> Iterator[Any]:
    """A client: the one that is active, one that is kept, or a new one, closed at the end."""
    active = _active_client()
    if scheduler is not None and active is not None and active.scheduler.address == scheduler:
        yield active
    elif (own := _kept.get()) is None:
        with _started(workers, scheduler, slurm) as client:
            yield client
    else:
        if own.client is None:
            own.client = own.stack.enter_context(_started(workers, scheduler, slurm))
        yield own.client


@contextlib.contextmanager
def _started(workers: int, scheduler: str | None, slurm: Mapping[str, Any] | None) -> Iterator[Any]:
    """A new client, and what it asks: workers of this machine, jobs, or a scheduler's."""
    import dask
    from distributed import Client, LocalCluster

    # Zarr runs a thread of its own, which does not survive a fork.
    config = {
        "distributed.worker.multiprocessing-method": "spawn",
        # One death means a bug or a full memory, not bad luck worth three more.
        "distributed.scheduler.allowed-failures": 1,
        "distributed.comm.timeouts.connect": "10s",
    }
    cluster: Any = None
    with dask.config.set(config), _unlogged(), contextlib.ExitStack() as started:
        if slurm is not None:
            cluster = _slurm_cluster(slurm)
        elif scheduler is None:
            cluster = LocalCluster(
                loop=started.enter_context(_deaf_loop()),
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs="CRITICAL",
            )
        if cluster is not None:
            started.callback(_end_cluster, cluster)
        try:
            client = Client(scheduler or cluster, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no dask scheduler answers at {scheduler!r} ({error}); give the address "
                "that `dask scheduler` prints, such as tcp://127.0.0.1:8786"
            ) from None
        started.callback(_end_client, client)
        yield client


@contextlib.contextmanager
def _deaf_loop() -> Iterator[Any]:
    """A loop whose thread starts processes that Ctrl-C does not reach: it is answered here.

    A terminal sends it to all processes of a command, and each would tell of it at length.
    """
    import signal
    from multiprocessing import resource_tracker

    from distributed.utils import LoopRunner

    resource_tracker.ensure_running()  # lets the signal through again in the thread that starts it
    runner = LoopRunner()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # its thread inherits this
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        yield runner.loop
    finally:
        with contextlib.suppress(Exception):
            runner.stop(timeout=_CLOSING)


def _end_client(client: Any) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=_CLOSING)


def _end_cluster(cluster: Any) -> None:
    """In order, or after a moment by force: a store is whole whenever its writers end."""
    import signal

    pids = [pid for w in cluster.workers.values() if (pid := getattr(w, "pid", None))]

    def kill() -> None:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    # A worker does not leave a shard by itself, and dask asks it politely for long.
    late = threading.Timer(_POLITE, kill)
    late.start()
    try:
        with contextlib.suppress(Exception):
            cluster.close(timeout=_CLOSING)
    finally:
        late.cancel()


class _Work(NamedTuple):
    """What a cluster was asked for: the function, which travels once, and a task for each item."""

    sent: Any
    futures: list[Any]
    items: dict[str, Any]  # by the key of each future


def _submitted(
    client: Any, function: Callable[[Item], Result], items: Sequence[Item], name: str
) -> _Work:
    # Dask takes what stands before the first number for the kind of a task.
    run = f"0{uuid.uuid4().hex[:8]}"
    with _said(client):
        # A task rather than scattered data: a worker that dies with it is no loss, and workers
        # may come later.
        sent = client.submit(_same, function, key=f"prepare {name}-{run}", pure=False)
        futures = [
            client.submit(_apply, sent, item, key=f"{name}-{run}-{i}", pure=False)
            for i, item in enumerate(items)
        ]
    return _Work(sent, futures, {f.key: item for f, item in zip(futures, items, strict=True)})


def _distributed(
    begun: contextlib.ExitStack, client: Any, work: _Work
) -> Generator[tuple[Any, Any], None, None]:
    from distributed import as_completed as distributed_as_completed

    with begun:
        try:
            with _said(client):
                done = distributed_as_completed(work.futures, loop=client.loop)
                watch = _Watch(client)
                while not done.is_empty():
                    while not done.has_ready():
                        time.sleep(_POLL)
                        watch.seen |= work.sent.done()  # a worker may come and go between two looks
                        watch.look()
                    future = next(done)
                    watch.seen = True
                    yield work.items[future.key], _result(future, watch)
        finally:
            if client.status == "running":
                with contextlib.suppress(Exception):
                    client.cancel([*work.futures, work.sent], force=True)


@contextlib.contextmanager
def _said(client: Any) -> Iterator[None]:
    """What goes wrong on a cluster, in our words."""
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    address = client.scheduler.address
    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            f"a worker process died at {error.task} ({error.last_worker.address}), most often for "
            "want of memory; what is stored is whole, type the same command again, with fewer "
            "workers if memory was short"
        ) from None
    except (CancelledError, CommClosedError) as error:
        reason = getattr(error, "reason", "") or str(error) or type(error).__name__
        raise ClusterError(
            f"the dask scheduler at {address} went away or dropped the work ({reason}); what is "
            "stored is whole, see that it runs and type the same command again"
        ) from None


def _result(future: Any, watch: _Watch) -> Any:
    """The result of what is done; computed anew where the worker that has it died meanwhile."""
    while True:
        try:
            return future.result(timeout=_LOOK)
        except TimeoutError:
            if future.status == "error":  # the function's own
                raise
            watch.look()


class _Watch:
    """Looks whether there are workers at all, while one waits for them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.seen, self.told = bool(client.nthreads()), False
        self.looked = self.there = time.monotonic()

    def look(self) -> None:
        """Raise where all workers went away; warn where none has come."""
        now = time.monotonic()
        if now - self.looked < _LOOK:
            return
        self.looked = now
        if self.client.nthreads():
            self.seen, self.there = True, now
        elif self.seen and now - self.there > _NONE_LEFT:
            raise ClusterError(
                f"no worker is left at {self.client.scheduler.address}; what is stored is whole, "
                "start workers and type the same command again"
            )
        elif not self.seen and not self.told:
            self.told = True
            warnings.warn(
                f"no worker has come to {self.client.scheduler.address} yet; waiting", stacklevel=2
            )


def _same(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return function


def _apply(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """What goes wrong on a cluster is said once, by an error: dask's own log is kept quiet."""
    # Each of dask's has a level of its own.
    parents = ("distributed", "tornado", "asyncio")
    known = [n for n in logging.root.manager.loggerDict if n.partition(".")[0] in parents]
    loggers = [logging.getLogger(name) for name in dict.fromkeys([*parents, *known])]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# --------------------------------------------------------------------------- SLURM


def _slurm_there() -> None:
    """Refuse where no job can be sent."""
    import shutil
    from importlib.util import find_spec

    if find_spec("dask_jobqueue") is None:
        raise SolspaceError(
            "--slurm needs the package dask-jobqueue; type `pip install 'solspace[slurm]'`"
        )
    if shutil.which("sbatch") is None:
        raise SolspaceError(
            "--slurm sends jobs by the command sbatch, which is not found here; type this on a "
            "machine of a SLURM cluster, or give --workers N"
        )


def _slurm_cluster(slurm: Mapping[str, Any]) -> Any:
    """Jobs that are workers of one thread, as many as asked for.

    What is not given is of dask's configuration, ``jobqueue.slurm``.
    """
    import dask
    from dask_jobqueue import SLURMCluster

    options = {name: value for name, value in slurm.items() if name != "workers"}

    def known(name: str, otherwise: Any) -> Any:
        configured = dask.config.get(f"jobqueue.slurm.{name}", None)
        return options.pop(name, configured if configured is not None else otherwise)

    cores = int(known("cores", 1))
    processes = int(known("processes", cores))
    memory = known("memory", f"{4 * processes}GB")
    try:
        cluster = SLURMCluster(cores=cores, processes=processes, memory=memory, **options)
    except (TypeError, ValueError) as error:
        raise SolspaceError(
            f"--slurm: {error}; options are those of dask_jobqueue.SLURMCluster, such as "
            "--slurm-option queue=short --slurm-option memory=4GB"
        ) from None
    try:
        _try_job(cluster.job_script())
    except BaseException:
        _end_cluster(cluster)
        raise
    cluster.scale(slurm["workers"])
    return cluster


def _try_job(script: str) -> None:
    """Refuse what SLURM would refuse; dask-jobqueue would wait for such jobs without a word."""
    import subprocess

    told = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise SolspaceError(
            f"SLURM takes no such job ({' '.join(told.stderr.split())}); give what it needs, such "
            "as --slurm-option queue=short --slurm-option account=me"
        )
