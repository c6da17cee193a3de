"""Labels of rows by the words of their paths, for sheets without a column of labels."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from clearcast.data.tables.lines import Note
from clearcast.data.words import LabelWords
from clearcast.domain import Label

_Said = Sequence[tuple[str, frozenset[Label]]]  # components of a path that name labels, the nearest to the file first


class PathLabels:
    """Reads labels from paths: in each path, the name nearest to the file decides.

    A folder further out that names the other label, such as ``defect-detection/ok/1.png``, is outweighed, and told in
    a note. It is a problem of the row only if the folder holds the file itself and is called nothing but a label:
    ``ok/def_1.png`` may be a file in the wrong place.

    Args:
        words: those that mean ok or defect.
    """

    def __init__(self, words: LabelWords) -> None:
        self._words = words
        self._outweighed: Counter[str] = Counter()
        self._examples: dict[str, str] = {}  # the first path of each folder

    def parse(self, noisy: str, reference: str, problems: list[str]) -> Label | None:
        """The label that both paths of a row say, or None, and why not among the problems; an empty path is none."""
        said = {path: self._words.said(path) for path in (noisy, reference) if path}
        nearest = {path: names[0][1] if names else frozenset[Label]() for path, names in said.items()}
        labels = frozenset[Label]().union(*nearest.values())
        apart = [what for path, names in said.items() if (what := self._contradiction(path, names))]
        if len(labels) == 1 and not apart:
            label = next(iter(labels))
            self._count_outweighed(said, label)
            return label
        if not said:  # which is a problem of its own
            return None
        if apart:
            what = apart[0]
        elif labels:
            what = ", those of ".join(f"{path!r} say {next(iter(found), 'nothing')}" for path, found in nearest.items())
        else:
            what = f"{noisy or reference!r} say neither ok nor def(ect)"
        problems.append(f"the words of {what}; rename it or name a --label-column")
        return None

    def notes(self) -> Iterator[Note]:
        """Which folders were outweighed in the rows so far."""
        if self._outweighed:
            (folder, count), *others = self._outweighed.most_common()
            more = f", and {len(others)} more such folders" if others else ""
            message = (
                f"{count} paths lie in a folder {folder!r}, which names another label than what is nearer to the file"
                f"{more}; the nearest name counts, as in {self._examples[folder]!r}; if it should not, name a "
                "--label-column"
            )
            yield Note("labels in folders", message)

    def _contradiction(self, path: str, names: _Said) -> str:
        """How a name, or a name and the file's folder, contradict each other; empty if they do not."""
        if names and len(names[0][1]) > 1:
            return f"{path!r} say both ok and defect"
        folder, _, file = path.rpartition("/")
        parent = folder.rpartition("/")[2]
        found = dict(names)
        if file not in found or parent not in found or found[file] == found[parent]:
            return ""
        if self._words.parse(parent) is None:  # it is called something else besides
            return ""
        says = (f"{name!r} says {next(iter(found[name]))}" for name in (file, parent))
        return f"{path!r} contradict each other: {', '.join(says)}"

    def _count_outweighed(self, said: Mapping[str, _Said], label: Label) -> None:
        for path, names in said.items():
            if folder := next((name for name, found in names if label not in found), ""):
                self._examples.setdefault(folder, path)
                self._outweighed[folder] += 1
