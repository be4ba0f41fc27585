"""Pictures of a report, as files beside the page and as elements in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

__all__ = [
    "MARK",
    "Pictures",
]

# By this a folder of pictures is known to be a report's, to be written anew.
MARK = ".solspace_report"


@dataclass
class Pictures:
    """Writes pictures into the folder beside the page and returns them as elements."""

    folder: str

    def __post_init__(self) -> None:
        self.files: list[str] = []

    def add(self, picture: Any, name: str, label: str) -> str:
        from solspace.plots.saving import inline, save

        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, MARK), "w", encoding="utf-8") as file:
            file.write("Pictures of solspace report, which writes them anew with its page.\n")
        written = save(picture, os.path.join(self.folder, name))
        self.files += written
        with open(next(f for f in written if f.endswith(".svg")), encoding="utf-8") as file:
            return inline(file.read(), prefix=f"{name}-", label=label)
