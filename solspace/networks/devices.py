"""Devices that torch computes on."""

from __future__ import annotations

from typing import Any

from solspace.errors import SolspaceError

__all__ = ["get_device"]


def get_device(device: str) -> Any:
    """A device of torch, or an error where it is not there.

    Parameters
    ----------
    device : str
        Such as ``"cuda"``, ``"cuda:1"`` or ``"cpu"``.

    Returns
    -------
    torch.device

    Raises
    ------
    SolspaceError
        For a name that is none, or a device that this machine or this torch does not have.

    Examples
    --------
    >>> get_device("cpu")
    device(type='cpu')
    >>> get_device("gpu")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: device 'gpu' is none that torch knows; give one of cpu...
    """
    try:
        import torch
    except ImportError:
        raise SolspaceError(
            f'device {device!r} needs torch; type pip install "solspace[torch]", or leave it out'
        ) from None
    there = _there()
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        raise SolspaceError(
            f"device {device!r} is none that torch knows; give one of {', '.join(there)}, or leave "
            "it out"
        ) from None
    if str(found) in there or (found.index is None and f"{found}:0" in there):
        return found
    why = ""
    if found.type == "cuda" and torch.version.cuda is None:
        why = f" (torch {torch.__version__} is built without CUDA; see https://pytorch.org)"
    raise SolspaceError(
        f"device {device!r} is not there: torch finds {', '.join(there)}{why}; give one of these, "
        "or leave it out"
    )


def _there() -> list[str]:
    """Names of all devices there are."""
    import torch

    out = ["cpu"]
    if torch.cuda.is_available():
        out += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        out.append("mps:0")
    return out
