"""What several test files share."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# No test fails because its machine is slow.
settings.register_profile("solspace", deadline=None)
settings.load_profile("solspace")

# One thread in each library, here and in the processes that tests start, before any is loaded. A
# stage over a store does the same, so what it writes rounds as what a test computes beside it; and
# tests run side by side (pytest-xdist) do not take each other's cores.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# Thousands of small shards are written: the tests of what is put on the disk ask for it themselves.
os.environ.setdefault("SOLSPACE_FSYNC", "0")


def pytest_collection_finish() -> None:
    """What is imported by now stays: not to be gone through by each collection of garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def reference_path(*parts: str) -> Path:
    """A path in ``shared/reference`` beside the checkout, or skip where that is absent."""
    path = Path(__file__).resolve().parents[2].joinpath("shared", "reference", *parts)
    if not path.exists():
        pytest.skip("needs the folder shared/reference beside the checkout")
    return path


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory) -> str:
    """What `make demo` leaves, of four networks that ship: quick to make. Copy it to change it."""
    return made_once(tmp_path_factory, "demo", _make_demo)


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[str], None]
) -> str:
    """A store that is the same for all processes of a run: the first to ask makes it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path = folder / f"{name}_store" / f"{name}.zarr"
    path.parent.mkdir(exist_ok=True)
    with open(path.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = path.parent / "made"
        if not made.exists():
            shutil.rmtree(path, ignore_errors=True)
            make(str(path))
            made.touch()
    return str(path)


def _make_demo(path: str) -> None:
    import xarray as xr

    import solspace
    from solspace.networks import PARAMETERS

    shipped = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
    ds = xr.open_zarr(shipped, group="interval_reproduction/vanilla")
    kept = [name for name in ds.data_vars if str(name).removeprefix("initial_") in PARAMETERS]
    kept += ["loss", "gradient_steps", "attempts", "status_train"]
    small = ds[kept].isel(network=slice(4)).load()
    small.attrs.clear()  # the recipe and the provenance of all 400
    labels = ["solution", "solution_key", "solution_name", "graph_key"]
    solspace.add_population(path, small.drop_vars(labels), shard_size=2)
    for stage in ("record", "extrapolate", "reduce", "responses", "label"):
        solspace.run_stage(path, stage)


@pytest.fixture
def few_trees(monkeypatch):
    """Forests of five trees, where a test does not ask how well they predict."""
    from solspace.classification import heldout

    model = heldout.make_model
    monkeypatch.setattr(
        heldout, "make_model", lambda name, seed, trees=100: model(name, seed, trees=5)
    )
