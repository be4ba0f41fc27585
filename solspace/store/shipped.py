"""Datasets that ship with the project: from a checkout, or downloaded once and kept.

`datasets.json` beside this file says which there are, how large each is as a zip, and its SHA-256
hash; ``make data`` writes it together with the zips that are to be uploaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache as once
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from solspace.errors import SolspaceError
from solspace.store.tree import open_store

__all__ = ["ADDRESS", "CACHE", "dataset_names", "load_dataset", "zip_store"]

ADDRESS = "SOLSPACE_DATA_URL"
CACHE = "SOLSPACE_DATA_CACHE"

# Of every file in a zip, so that the same store gives the same zip: the earliest that zips know.
EPOCH = (1980, 1, 1, 0, 0, 0)


def dataset_names() -> list[str]:
    """Names that `load_dataset` takes.

    Examples
    --------
    >>> dataset_names()
    ['context_integration', 'high_rate', 'learning', 'turner2021', 'two_neuron']
    """
    return sorted(_registry())


def load_dataset(
    name: str,
    *,
    url: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    chunks: Literal["auto"] | Mapping[str, int] | None = "auto",
) -> xr.DataTree:
    """A dataset that ships with the project, as `open_store` gives it.

    It is opened from the folder ``stores`` of a checkout where solspace runs from one. Elsewhere it
    is downloaded the first time, held against its SHA-256 hash, unpacked and kept; the next call
    downloads nothing. What is interrupted leaves nothing behind.

    Parameters
    ----------
    name : str
        See `dataset_names`.
    url : str, optional
        Folder that holds ``NAME.zarr.zip``; then it is downloaded also in a checkout. By default
        what the environment variable ``SOLSPACE_DATA_URL`` says.
    cache : path, optional
        Folder to keep it in. By default what the environment variable ``SOLSPACE_DATA_CACHE`` says,
        or the user's folder for caches (`pooch.os_cache`).
    chunks : {"auto"}, mapping of dim to int, or None
        As in `open_store`.

    Returns
    -------
    DataTree
        As `open_store` returns.

    Raises
    ------
    SolspaceError
        Where there is no dataset of that name, no address to download it from, nothing at that
        address, or something else than the dataset of this version of solspace; and where pooch is
        not installed.

    Examples
    --------
    >>> tree = load_dataset("two_neuron")
    >>> tree["two_neuron/planar"].sizes["network"]
    10000
    """
    if name not in _registry():
        raise SolspaceError(
            f"no dataset {name!r}; there are: {', '.join(dataset_names())}. A store of your own is "
            "opened by solspace.open_store(path)"
        )
    lying = _checkout() / f"{name}.zarr"
    if url is None and lying.is_dir():
        return open_store(lying, chunks=chunks)
    return open_store(_kept(name, url, cache), chunks=chunks)


def zip_store(store: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    """Zip a store for `load_dataset`; the same store gives the same bytes on every machine.

    Nothing is compressed anew, as the store's chunks are compressed already.

    Returns
    -------
    str
        The SHA-256 hash of the zip, in hexadecimal digits.
    """
    source = Path(store)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for file in sorted(p for p in source.rglob("*") if p.is_file()):
            inside = zipfile.ZipInfo((source.name / file.relative_to(source)).as_posix(), EPOCH)
            inside.create_system = 3  # on Windows too
            inside.external_attr = 0o644 << 16
            out.writestr(inside, file.read_bytes())
    with open(path, "rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


@once
def _registry() -> dict[str, dict[str, Any]]:
    text = resources.files("solspace.store").joinpath("datasets.json").read_text("utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def _checkout() -> Path:
    """The folder of stores beside the package, where that is a checkout of the project."""
    root = Path(__file__).resolve().parents[2]
    return root / "stores" if (root / "pyproject.toml").is_file() else root / "no checkout"


def _kept(name: str, url: str | None, cache: str | os.PathLike[str] | None) -> Path:
    """Folder of the unpacked dataset, downloaded where it is not there yet."""
    folder = Path(cache or os.environ.get(CACHE) or _default_cache()).expanduser()
    digest = str(_registry()[name]["sha256"])
    # By its hash, so that another version of solspace with other data has a folder of its own.
    place = folder / f"{name}-{digest[:16]}"
    store = place / f"{name}.zarr"
    if not store.is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=folder) as beside:
                packed = _downloaded(name, _address(name, url), Path(beside))
                unpacked = Path(beside) / "unpacked"
                with zipfile.ZipFile(packed) as file:
                    file.extractall(unpacked)
                _move(unpacked, place)
        except OSError as error:
            raise SolspaceError(
                f"dataset {name!r} cannot be kept in {folder} ({error.strerror or error}); give "
                f"load_dataset another folder by cache=, or by the environment variable {CACHE}"
            ) from error
    return store


def _move(unpacked: Path, place: Path) -> None:
    """Give a folder its name when it is whole; where another process was first, its one stays."""
    try:
        unpacked.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def _default_cache() -> str:
    return str(_pooch().os_cache("solspace"))


def _address(name: str, url: str | None) -> str:
    base = url or os.environ.get(ADDRESS)
    if not base:
        size = round(int(_registry()[name]["bytes"]) / 1e6, 1)
        raise SolspaceError(
            f"dataset {name!r} is not on this machine, and it is not known where to download it "
            f"({size} MB): set the environment variable {ADDRESS} to a folder on the web that "
            f"holds {name}.zarr.zip, or call load_dataset({name!r}, url=...); in a checkout of the "
            "project it is opened from stores/ (`make data` makes the zips)"
        )
    return f"{base.rstrip('/')}/{name}.zarr.zip"


def _downloaded(name: str, address: str, folder: Path) -> Path:
    """The zip, whole and with its hash; pooch downloads to another name and then renames."""
    pooch = _pooch()
    import requests  # pooch downloads with it

    digest = str(_registry()[name]["sha256"])
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(
            pooch.retrieve(
                address,
                known_hash=f"sha256:{digest}",
                fname=f"{name}.zarr.zip",
                path=folder,
                progressbar=os.isatty(2),
            )
        )
    except (requests.exceptions.RequestException, OSError, ValueError) as error:
        if isinstance(error, ValueError) and "hash" in str(error).lower():
            raise SolspaceError(
                f"{address}: is not the dataset {name!r} of this solspace (its SHA-256 hash is not "
                f"{digest}); nothing was kept. Give the address of the zips of this version, or "
                "update solspace"
            ) from error
        if isinstance(error, OSError) and not isinstance(
            error, requests.exceptions.RequestException
        ):
            raise
        raise SolspaceError(
            f"{address}: dataset {name!r} could not be downloaded ({error}); nothing was kept. "
            f"Look at the address (url=, or the environment variable {ADDRESS}) and call again"
        ) from error


def _pooch() -> Any:
    try:
        import pooch
    except ImportError:
        raise SolspaceError(
            'downloading datasets needs pooch; type `pip install "solspace[data]"`'
        ) from None
    return pooch
