"""Devices that torch computes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from solspace.errors import SolspaceError

__all__ = ["get_device", "in_parts", "out_of_memory"]

Result = TypeVar("Result")


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


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is, or came of, a device's memory that ran out.

    Examples
    --------
    >>> out_of_memory(ValueError("something else"))
    False
    """
    import torch

    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        # The end of what failed may have raised another error.
        error = error.__context__
    return False


def in_parts(compute: Callable[[slice], Result], count: int, what: str) -> list[Result]:
    """Compute something for all of several, or in as many parts as a device's memory asks for.

    Parameters
    ----------
    compute : callable (slice) -> object
    count : int
    what : str
        What one of them is, for the error.

    Returns
    -------
    list
        Of each part, in order.

    Raises
    ------
    SolspaceError
        Where the memory is too little for one.

    Examples
    --------
    >>> in_parts(lambda part: (part.start, part.stop), 5, "a network")
    [(0, 5)]
    """
    out: list[Result] = []
    first, size = 0, max(1, count)
    while first < count or not out:
        try:
            out.append(compute(slice(first, min(first + size, count))))
            first += size
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                told = str(error).split(chr(10))[0][:200]
                raise SolspaceError(
                    f"{what} is too large for the device's memory ({told}); leave the device out"
                ) from error
            size = -(-size // 2)
    return out


def _there() -> list[str]:
    """Names of all devices there are."""
    import torch

    out = ["cpu"]
    if torch.cuda.is_available():
        out += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        out.append("mps:0")
    return out
