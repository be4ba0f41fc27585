"""The command line: one verb a stage, thinly over the functions of the package."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from solspace.cli import commands
from solspace.cli.arguments import make_parser
from solspace.errors import SolspaceError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 with one line on stderr for bad input.

    130 where it was interrupted, 141 where nobody reads any more what it prints.

    Examples
    --------
    >>> main(["info", "nowhere.zarr"])
    2
    """
    args = make_parser().parse_args(argv)
    try:
        if getattr(args, "store", None) is not None:
            commands.know_tasks(args)
        args.command(args)
        sys.stdout.flush()
    except SolspaceError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader of a table, such as `head`, has seen enough: ended as by SIGPIPE.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            where = error.filename or getattr(args, "store", "")
            return _fail(
                f"{where}: cannot be written to ({error.strerror}); give a name in a folder that "
                "you can write to"
            )
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _fail(
            f"{getattr(args, 'store', '')}: no space left on the disk; what is stored is whole, "
            "free some space and type the same command again"
        )
    except KeyboardInterrupt:
        print(
            "\nsolspace: interrupted; what is stored is whole, type the same command to go on",
            file=sys.stderr,
        )
        return 130
    return 0


def _fail(message: str) -> int:
    print(f"solspace: {' '.join(message.split())}", file=sys.stderr)
    return 2
