"""How fast the explorer answers, in a browser: the first view, a click, a pulse that is moved.

Medians, and what 95 % are under, with the server warm; the first view is that of a browser that has
kept nothing. Memory is that of the server after all of it.

    python benchmarks/explorer.py                            # the shipped store
    python benchmarks/explorer.py --bucket                   # the same, read from a bucket of S3
    python benchmarks/explorer.py --networks 100000 --store BIG.zarr    # made where it is not there

The bucket is of a server on this machine (`rclone serve s3`), so that its times are those of asking
and unpacking, without a net. With ``--networks`` the store has so many networks: weights, graphs,
fixed labels and features of a shipped population, tiled; of the features each network has its own,
moved by a tenth of the standard deviation, or networks would lie on each other in heaps.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import browsing  # noqa: E402
import servers  # noqa: E402

MOVED = 0.1  # standard deviations of a feature, of tiled networks


def lay(path: str, networks: int) -> None:
    """A store of so many networks, with features and graphs; half an hour for 100,000."""
    import numpy as np
    import scale

    import solspace  # noqa: F401
    from solspace.run.creating import create_groups
    from solspace.run.reading import split_results, written_by_shard
    from solspace.stages import collection
    from solspace.store import Store
    from solspace.tasks import get_task

    scale.lay(path, networks)
    scale.graphs(path, networks)
    store = Store(path)
    (population,) = store.populations()
    source = scale.tiled(networks)
    shipped = scale.tiled(400)["features"].values
    spread = shipped.std(axis=0) * MOVED
    stage = collection.find("features", "recurrent")
    names = [v.name for v in stage.fills if v.name in source.variables]
    ds = source[[*names, stage.status.name]]
    with store.lock(stage.name):
        with population.briefly():
            create_groups(population, stage, get_task(population.task), {})
        pending = population.pending(stage.name)
        run = population.take(stage.name, pending, written_by_shard(population, stage))
        for shard in pending:
            part = ds.isel(network=slice(*shard)).load()
            moved = np.random.default_rng(shard[0]).normal(0, 1, part["features"].shape) * spread
            part["features"] = part["features"] + moved
            results = split_results(part, stage, population)
            population.write_shard(shard, stage.name, results, token=run)
    scale.STEPS["label"](path, networks)


@contextlib.contextmanager
def in_bucket(store: str) -> Iterator[str]:
    """The address of a copy of a store in a bucket, which is there within the block."""
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.basename(store.rstrip("/"))
        shutil.copytree(store, Path(folder, "bucket", name))
        with servers.bucket_server(Path(folder)) as settings:
            os.environ.update(settings)
            yield f"s3://bucket/{name}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default=str(ROOT / "stores" / "turner2021.zarr"))
    parser.add_argument("--bucket", action="store_true", help="read it from a bucket of S3")
    parser.add_argument("--networks", type=int, help="make the store, of so many networks")
    parser.add_argument("--times", type=int, default=20)
    args = parser.parse_args()
    if why := browsing.why_not():
        raise SystemExit(why)
    if args.networks and not os.path.exists(args.store):
        began = time.perf_counter()
        lay(args.store, args.networks)
        print(f"{args.networks} networks laid in {time.perf_counter() - began:.0f} s")
    with in_bucket(args.store) if args.bucket else contextlib.nullcontext(args.store) as store:
        measure(store, args.times)


def measure(store: str, times: int) -> None:
    """What it takes to look at a store, printed."""
    views, clicks, moves = [], [], []
    began = time.perf_counter()
    with browsing.served(store) as address, browsing.browser() as browser:
        print(f"{'server ready':<28} {time.perf_counter() - began:.1f} s")
        for _ in range(times):
            page = browsing.Page(browser)
            views.append(page.open(address))
            page.close()
        page = browsing.Page(browser)
        page.open(address)
        page.page.wait_for_timeout(1000)
        if page.do("return marks.data_source.data.x.length"):
            places = [page.place_of(i) for i in browsing.apart(page, times)]
        else:
            places = browsing.crowded(page, times)
        for place in places:
            clicks.append(browsing.click_at(page, *place))
            page.page.wait_for_timeout(300)
        page.page.locator(".noUi-handle").first.focus()
        for _ in range(times):
            moves.append(browsing.press(page, "ArrowRight"))
            page.page.wait_for_timeout(100)
        print(browsing.told("first view", views))
        print(browsing.told("a click on the map", clicks))
        print(browsing.told("a pulse moved", moves))
        print(f"{'memory of the server':<28} {browsing.memory_of(address) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
