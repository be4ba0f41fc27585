"""Where work runs: threads of this process, a local cluster, or a scheduler's address.

The only file that knows ``dask.distributed``. The unit of work is a shard, so results are the
same wherever it runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from solspace.errors import SolspaceError

__all__ = ["check_where", "map_unordered", "stopping"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_stop = threading.Event()


def stopping() -> bool:
    """Whether the run was interrupted; long work in threads asks this and leaves."""
    return _stop.is_set()


def check_where(workers: int | None, scheduler: str | None) -> None:
    """Refuse numbers of workers that cannot be, before anything is begun."""
    if workers is not None and scheduler is not None:
        raise SolspaceError("give --workers or --scheduler, not both")
    if workers is not None and workers < 1:
        raise SolspaceError(f"{workers} workers; give 1 or more, or leave it out to use threads")


def map_unordered(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Apply a function to every item and yield (item, result) as each is done.

    Parameters
    ----------
    function : callable
        Importable by name where workers are used.
    items : sequence
    workers : int, optional
        Processes of a local cluster. By default threads of this process, one a core.
    scheduler : str, optional
        Address of a running dask scheduler, such as ``"tcp://10.0.0.1:8786"``.

    Raises
    ------
    SolspaceError
        For less than one worker, both options at once, an address nobody answers at, or a
        worker that died.
    Exception
        The first one the function raises; what was not begun is then dropped.

    Examples
    --------
    >>> sorted(map_unordered(abs, [-1, 2]))
    [(-1, 1), (2, 2)]
    """
    check_where(workers, scheduler)
    if not items:
        return
    if workers is None and scheduler is None:
        yield from _threads(function, items)
    else:
        yield from _distributed(function, items, workers, scheduler)


def _cores() -> int:
    """Cores this process may use, which on a cluster are those its job was given."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads(
    function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[Item, Result]]:
    from threadpoolctl import threadpool_limits

    _stop.clear()
    threads = min(len(items), _cores())
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


def _distributed(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None,
    scheduler: str | None,
) -> Iterator[tuple[Item, Result]]:
    import dask
    from distributed import Client, LocalCluster
    from distributed import as_completed as distributed_as_completed
    from distributed.scheduler import KilledWorker

    # Zarr runs a thread of its own, which does not survive a fork.
    with dask.config.set(
        {
            "distributed.worker.multiprocessing-method": "spawn",
            # One death means a bug or a full memory, not bad luck worth three more.
            "distributed.scheduler.allowed-failures": 1,
            "distributed.comm.timeouts.connect": "10s",
        }
    ):
        cluster: Any = None
        if scheduler is None:
            cluster = LocalCluster(
                n_workers=min(workers or 1, len(items)),
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs="ERROR",
            )
        try:
            try:
                client = Client(scheduler or cluster)
            except (OSError, ValueError) as error:
                raise SolspaceError(
                    f"no dask scheduler answers at {scheduler!r} ({error}); give the address "
                    "that `dask scheduler` prints, such as tcp://127.0.0.1:8786"
                ) from None
            with client:
                futures = [client.submit(function, item, pure=False) for item in items]
                where = {future.key: item for future, item in zip(futures, items, strict=True)}
                try:
                    for future in distributed_as_completed(futures):
                        yield where[future.key], future.result()
                except KilledWorker as error:
                    raise SolspaceError(
                        f"a worker process died ({error}); what is stored is whole, type the "
                        "same command again, with fewer --workers if memory was short"
                    ) from None
                finally:
                    client.cancel(futures, force=True)
        finally:
            if cluster is not None:
                cluster.close()
