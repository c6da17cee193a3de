"""Labels from the words in paths, for sheets without a label column."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from clearcast.data.tables.lines import Note
from clearcast.data.words import LabelWords
from clearcast.domain import Label

_PathLabels = Sequence[tuple[str, frozenset[Label]]]  # labels by path component, the nearest to the file first


class PathLabels:
    """Parser for labels in paths. The component nearest to the file decides.

    A folder further up that names the other label, as in ``defect-detection/ok/1.png``, is ignored and reported in a
    note. It is a problem of the row only if it is the file's own folder and its name is only a label: ``ok/def_1.png``
    may be a misplaced file.

    Args:
        words: the words that mean ok or defect.
    """

    def __init__(self, words: LabelWords) -> None:
        self._words = words
        self._ignored_folders: Counter[str] = Counter()
        self._examples: dict[str, str] = {}  # the first path in each ignored folder

    def parse(self, noisy: str, reference: str, problems: list[str]) -> Label | None:
        """Parse the label of a row from its paths; if there is none, return None and add a problem."""
        by_path = {path: self._words.labels_by_component(path) for path in (noisy, reference) if path}
        nearest = {path: names[0][1] if names else frozenset[Label]() for path, names in by_path.items()}
        labels = frozenset[Label]().union(*nearest.values())
        contradictions = [text for path, names in by_path.items() if (text := self._contradiction(path, names))]
        if len(labels) == 1 and not contradictions:
            label = next(iter(labels))
            self._count_ignored(by_path, label)
            return label
        if not by_path:  # missing paths are reported already
            return None
        if contradictions:
            problem = contradictions[0]
        elif labels:
            meanings = (f"{path!r} means {next(iter(found), 'no label')}" for path, found in nearest.items())
            problem = f"the paths contradict each other: {', '.join(meanings)}"
        else:
            problem = f"the path {noisy or reference!r} names neither ok nor def(ect)"
        problems.append(f"{problem}; rename the file or name a --label-column")
        return None

    def notes(self) -> Iterator[Note]:
        """Report the folders whose label was ignored in the rows so far."""
        if self._ignored_folders:
            (folder, count), *others = self._ignored_folders.most_common()
            more = f", and {len(others)} more such folders" if others else ""
            message = (
                f"{count} paths lie in a folder {folder!r}, whose name means another label than the name nearer to the "
                f"file{more}; the nearest name is used, as in {self._examples[folder]!r}; if that is wrong, name a "
                "--label-column"
            )
            yield Note("labels in folders", message)

    def _contradiction(self, path: str, names: _PathLabels) -> str:
        """Describe a contradiction in a path, within a name or between the file and its folder; "" if there is none."""
        if names and len(names[0][1]) > 1:
            return f"the path {path!r} names both ok and defect"
        folder, _, file = path.rpartition("/")
        parent = folder.rpartition("/")[2]
        found = dict(names)
        if file not in found or parent not in found or found[file] == found[parent]:
            return ""
        if self._words.parse(parent) is None:  # its name has other words too
            return ""
        meanings = (f"{name!r} means {next(iter(found[name]))}" for name in (file, parent))
        return f"the path {path!r} contradicts itself: {', '.join(meanings)}"

    def _count_ignored(self, by_path: Mapping[str, _PathLabels], label: Label) -> None:
        for path, names in by_path.items():
            if folder := next((name for name, found in names if label not in found), ""):
                self._examples.setdefault(folder, path)
                self._ignored_folders[folder] += 1
