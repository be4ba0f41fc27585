"""The process that labels networks for `solspace.stability.elsewhere`, one after another.

It reads pickles from its input: first what is of the user's own, then (task, architecture, weights,
labels) of each network, and answers each with (labels, "") or (None, reason).
"""

from __future__ import annotations

import os
import pickle
import sys


def main() -> None:
    # Answers alone may go where the other process reads, not what a library prints.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    questions = sys.stdin.buffer
    try:
        sent = pickle.load(questions)
    except EOFError:
        return

    from solspace.errors import SolspaceError
    from solspace.stability.labelling import label_one
    from solspace.stages.carry import take
    from solspace.tasks import get_task

    take(sent)
    while True:
        try:
            task, architecture, weights, labels = pickle.load(questions)
        except EOFError:
            return
        try:
            found = label_one(get_task(task), architecture, weights, labels)
            answer = [tuple(one) for one in found], ""
        except MemoryError:
            raise
        except Exception as error:
            told = str(error) if isinstance(error, SolspaceError) else repr(error)
            answer = None, told  # type: ignore[assignment]
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
