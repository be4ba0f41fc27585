"""Attack stores as tests/test_attack.py does, and write its counts into docs/reliability.md.

``python -m docs.make_attacks``; about two hours on two cores. Words after it are given to pytest;
then, and where something fails, the counts are printed and not written. Run in parts, each of which
adds its counts to the file that SOLSPACE_ATTACK_COUNTS names, they are written by
``python -m docs.make_attacks --counts FILE ...``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from docs.pages import write_part

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reliability.md"


def table(lines: list[str]) -> str:
    """A row for each kind of attack: of how much, how often, and what came of it.

    Examples
    --------
    >>> one = '{"series": "killed: record", "tried": 20, "came": {"whole": 21}}'
    >>> print(table([one, one.replace("record", "pack")]))
    | attack | on | tried | what came of it |
    |---|---|---|---|
    | killed | 2 commands | 40 | whole 42 |
    """
    tried: Counter[str] = Counter()
    came: dict[str, Counter[str]] = {}
    on: dict[str, set[str]] = {}
    for line in lines:
        entry = json.loads(line)
        attack, _, what = entry["series"].partition(": ")
        tried[attack] += entry["tried"]
        came.setdefault(attack, Counter()).update(entry["came"])
        on.setdefault(attack, set()).add(what)
    rows = ["| attack | on | tried | what came of it |", "|---|---|---|---|"]
    for attack, counts in came.items():
        names = on[attack]
        where = ", ".join(sorted(names)) if len(names) == 1 else f"{len(names)} commands"
        told = ", ".join(f"{name} {n:,}" for name, n in counts.items() if n)
        rows.append(f"| {attack} | {where or 'stores'} | {tried[attack]:,} | {told} |")
    return "\n".join(rows)


def main(words: list[str]) -> int:
    if words[:1] == ["--counts"]:
        lines = [line for file in words[1:] for line in Path(file).read_text().splitlines()]
        write_part(PAGE, __file__, table(lines))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "counts.jsonl"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "slow", "tests/test_attack.py",
             "-o", "faulthandler_timeout=0", *words],
            cwd=ROOT, env=os.environ | {"SOLSPACE_ATTACK_COUNTS": str(file)},
        )  # fmt: skip
        told = table(file.read_text().splitlines() if file.exists() else [])
    if done.returncode or words:
        print(told)
    else:
        write_part(PAGE, __file__, told)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
