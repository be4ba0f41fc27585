"""The command line: one verb a stage, thinly over the functions of the package.

Nothing is imported here before signals are answered, so that Ctrl-C at the start is one line too.
"""

from __future__ import annotations

import errno
import os
import sys

from solspace.cli.signals import Interruptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status.

    ====== ========================================================================================
    status means
    ====== ========================================================================================
    0      done
    1      a disk, a server, a scheduler or a worker failed, said in one line; what is stored is
           whole, and the same command goes on. With a traceback: a fault of solspace's own
    2      what was typed cannot be done, said in one line: other words are needed
    130    interrupted by Ctrl-C (SIGINT)
    141    nobody reads any more what it prints
    143    terminated (SIGTERM)
    ====== ========================================================================================

    Examples
    --------
    >>> main(["info", "nowhere.zarr"])
    2
    """
    with Interruptions(lasting=argv is None) as signals:
        if argv is None:
            _warn_in_a_line()
        try:
            return _run(argv, signals)
        except KeyboardInterrupt:
            return signals.end()
        except Exception:
            # An import or a loop of another library that was interrupted raises what it likes.
            if not signals.number:
                raise
            return signals.end()


def _warn_in_a_line() -> None:
    import logging
    import warnings

    # What else was under way when a server went away: that is said once, by an error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"solspace: WARNING: {' '.join(str(message).split())}", file=sys.stderr)

    warnings.showwarning = show


def _run(argv: Sequence[str] | None, signals: Interruptions) -> int:
    from solspace.cli import commands
    from solspace.cli.arguments import make_parser
    from solspace.errors import ClusterError, SolspaceError

    args = make_parser().parse_args(argv)
    signals.begin()
    try:
        if getattr(args, "store", None) is not None:
            commands.know_tasks(args)
        args.command(args)
        sys.stdout.flush()
    except ClusterError as error:
        return _fail(str(error), 1)
    except SolspaceError as error:
        if signals.number:
            raise
        return _fail(str(error), 2)
    except BrokenPipeError:
        # The reader of a table, such as `head`, has seen enough: ended as by SIGPIPE.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if signals.number or error.errno is None:
            raise
        place = error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
        return _fail(_said(error, getattr(args, "store", None) or ""), 2 if place else 1)
    return 0


def _said(error: OSError, store: str) -> str:
    """What the system could not do, where, and what to do about it."""
    where = error.filename if error.filename not in (None, "") else store
    where = os.fsdecode(where) if isinstance(where, bytes) else str(where)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return (
            f"{where}: cannot be read or written to ({error.strerror}); give a name in a folder "
            "that you can read and write to"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{store}: no space left on the disk; what is stored is whole, free some space and "
            "type the same command again"
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return (
            f"{store}: {error.strerror}; what is stored is whole, allow more open files (ulimit "
            "-n) and type the same command again"
        )
    return (
        f"{where}: {error.strerror} (error {errno.errorcode.get(error.errno or 0, error.errno)}); "
        "what is stored is whole, see to this place and type the same command again"
    )


def _fail(message: str, status: int) -> int:
    print(f"solspace: {' '.join(message.split())}", file=sys.stderr)
    return status
