"""Arrays of networks from files: torch's, NumPy's and safetensors', without running code in them.

What a file says of its own size is looked at before anything is read, since files of torch and
NumPy are zip archives, in which a few bytes can stand for gigabytes.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from solspace.errors import SolspaceError

__all__ = ["MOST_BYTES", "MOST_VALUES", "read_arrays", "read_state_dict"]

# An LSTM of 4096 units has 67 million recurrent weights. Four times that, in float64.
MOST_VALUES = 1 << 28
MOST_BYTES = 8 * MOST_VALUES
# Weights hardly compress; only arrays of zeros do, and those of a small network may.
_MOST_RATIO, _SMALL_BYTES = 100, 1 << 26

_SAVE = "save it again with torch.save(model.state_dict(), path)"


def read_state_dict(path: str) -> dict[str, Any]:
    """A network's arrays by name from a file, without running any code the file may carry.

    Parameters
    ----------
    path : str
        A torch state dict (``.pt``, ``.pth``), or a checkpoint that holds one; arrays by name
        (``.npz``); or ``.safetensors``, for which that package has to be there.

    Returns
    -------
    dict of str to tensor or array

    Raises
    ------
    SolspaceError
        Where the file is missing, truncated, no state dict, or a pickle of anything but tensors;
        where it would be larger than `MOST_BYTES`, or over 100 times its own size, once read.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "mine.npz")
    >>> np.savez(path, weight_hh=np.zeros((1, 3, 3)))
    >>> read_state_dict(path)["weight_hh"].shape
    (1, 3, 3)
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise SolspaceError(
            f"{path}: no such file; give torch state dicts (.pt), arrays (.npz) or .safetensors"
        )
    if os.path.isdir(path):
        raise SolspaceError(f"{path}: is a folder; give the file in it, such as {path}/weights.pt")
    _check_size(path)
    ending = os.path.splitext(path)[1].lower()
    if ending == ".safetensors":
        return _read_safetensors(path)
    if ending in (".npz", ".npy"):
        return read_arrays(path)
    return _read_torch(path)


def _check_size(path: str) -> None:
    """Refuse what would not fit, by the sizes that the file declares."""
    own = os.path.getsize(path)
    declared, told = own, "is"
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise SolspaceError(
                f"{path}: cannot be read, its zip archive is broken ({error}); save it again"
            ) from None
        declared, told = sum(entry.file_size for entry in entries), "unpacks to"
    if declared > MOST_BYTES or declared > max(_MOST_RATIO * own, _SMALL_BYTES):
        raise SolspaceError(
            f"{path}: {own / 1e6:.3g} MB that {told} {declared / 1e6:.3g} MB, no file of a network "
            f"(at most {MOST_BYTES / 1e6:.0f} MB, and {_MOST_RATIO} times the file); not read"
        )


def read_arrays(path: str) -> dict[str, Any]:
    """Arrays by name from a ``.npz``; one alone in a ``.npy`` goes by the name ``array``.

    Raises
    ------
    SolspaceError
        Where it is none, or holds objects, which would be unpickled.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "mine.npy")
    >>> np.save(path, np.zeros(3))
    >>> list(read_arrays(path))
    ['array']
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise SolspaceError(f"{path}: no such file; give arrays by name (.npz)")
    _check_size(path)
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"array": found}
        with found:
            # A name that is no array of NumPy's comes as bytes.
            out = {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile,
            NotImplementedError, SyntaxError) as error:  # fmt: skip
        reason = str(error).strip().split("\n")[0]
        raise SolspaceError(
            f"{path}: cannot be read as arrays of numbers ({reason[:160]}); save it again with "
            "numpy.savez(path, **arrays)"
        ) from None
    if wrong := [name for name, value in out.items() if not isinstance(value, np.ndarray)]:
        raise SolspaceError(
            f"{path}: {wrong[0]!r} in it is no array; save it again with "
            "numpy.savez(path, **arrays)"
        )
    return out


def _read_safetensors(path: str) -> dict[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise SolspaceError(
            f"{path}: reading .safetensors needs the package safetensors; type "
            "`pip install solspace[safetensors]`, or save the state dict with torch.save"
        ) from None
    try:
        out: dict[str, Any] = load_file(path)
    except Exception as error:  # SafetensorError is no subclass of anything but Exception
        reason = str(error).strip().split("\n")[0]
        raise SolspaceError(
            f"{path}: cannot be read as .safetensors ({reason[:160]}); save it again with "
            "safetensors.torch.save_file(model.state_dict(), path)"
        ) from None
    return out


def _read_torch(path: str) -> dict[str, Any]:
    import pickle

    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise SolspaceError(
            f"{path}: not loaded, it is no plain torch state dict and unpickling it could run "
            f"code ({reason[:160]}); {_SAVE}"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError,
            MemoryError, zipfile.BadZipFile) as error:  # fmt: skip
        reason = str(error).strip().split("\n")[0]
        raise SolspaceError(
            f"{path}: cannot be read, truncated or no torch file ({reason[:160]}); {_SAVE}"
        ) from None
    if not isinstance(loaded, Mapping):
        raise SolspaceError(
            f"{path}: holds a {type(loaded).__name__}, not a state dict; "
            "save torch.save(model.state_dict(), path)"
        )
    if not any(hasattr(value, "shape") for value in loaded.values()) or (
        not _has_weights(loaded) and any(isinstance(v, Mapping) for v in loaded.values())
    ):
        # A checkpoint: {"epoch": 7, "model_state_dict": {...}, "optimizer": {...}}.
        inner = [
            value for value in loaded.values() if isinstance(value, Mapping) and _has_weights(value)
        ]
        if not inner:
            raise SolspaceError(
                f"{path}: holds no state dict of a recurrent network (keys: "
                f"{', '.join(map(str, loaded)) or 'none'}); save "
                "torch.save(model.state_dict(), path)"
            )
        if len(inner) > 1:
            names = ", ".join(str(k) for k, v in loaded.items() if any(v is i for i in inner))
            raise SolspaceError(
                f"{path}: holds {len(inner)} state dicts ({names}), and which is the network is "
                f"not said; save one of them alone, torch.save(model.state_dict(), path)"
            )
        loaded = inner[0]
    return dict(loaded)


def _has_weights(values: Mapping[Any, Any]) -> bool:
    return any(
        hasattr(value, "shape") and str(key).rpartition(".")[2].startswith("weight")
        for key, value in values.items()
    )
