"""Index of the files that a results file has rows of, with their states at inspection."""

import hashlib
from typing import Any

from clearcast.errors import PictureError
from clearcast.runtime.sinks.done import Done
from clearcast.runtime.sources.item import FileState, Item


class Inspected:
    """Index of inspected files: names, file states and content hashes, at most 64 bytes per row.

    A file is identified by name, size and modification time, or by name and content: another image under a known name
    is a new one. Rows without a state (of older results files, and of video frames) identify their image by its name.
    """

    def __init__(self) -> None:
        self._stateless = Done()
        self._names = Done()
        self._states = Done()
        self._sizes = Done()
        self._contents = Done()

    def __len__(self) -> int:
        """Number of images with a row."""
        return len(self._stateless) + len(self._names)

    def __contains__(self, name: object) -> bool:
        """Whether there is a row of this name, whatever its file contained."""
        return name in self._names or name in self._stateless

    def add(self, name: str, state: FileState | None = None, sha256: str | None = None) -> None:
        """Add a row: its name, the state of its file at inspection, and the SHA-256 of the bytes."""
        if state is None:
            if name not in self._names:
                self._stateless.add(name)
        else:
            self._names.add(name)
            self._states.add(f"{name}\0{state}")
            self._sizes.add(f"{name}\0{state.size}")
        if sha256:
            self._contents.add(f"{name}\0{sha256}")

    def add_row(self, row: dict[str, Any]) -> None:
        """Add a row as returned by ``rows.named_row``."""
        size, modified = row["size"], row["modified"]
        state = FileState(size=size, modified=modified) if size is not None and modified else None
        self.add(row["path"], state, row["sha256"])

    def has_state(self, name: str, state: FileState) -> bool:
        """Whether there is a row of a file of this name in this state."""
        return f"{name}\0{state}" in self._states

    def has_content(self, name: str, sha256: str) -> bool:
        """Whether there is a row of a file of this name with these bytes."""
        return f"{name}\0{sha256}" in self._contents

    def is_stateless(self, name: str) -> bool:
        """Whether the rows of this name have no file state."""
        return name in self._stateless and name not in self._names

    def covers(self, item: Item) -> bool:
        """Whether an image has a row for its current file; a file of equal size but another time is read to compare."""
        if item.name not in self:
            return False
        state = item.state()
        if state is None or self.is_stateless(item.name) or self.has_state(item.name, state):
            return True
        return f"{item.name}\0{state.size}" in self._sizes and self._has_content_of(item)

    def _has_content_of(self, item: Item) -> bool:
        try:
            data = item.read()
        except PictureError:  # the inspection will report it
            return False
        return isinstance(data, bytes) and self.has_content(item.name, hashlib.sha256(data).hexdigest())
