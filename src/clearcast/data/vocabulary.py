"""Vocabulary for labels, noise types and subsets in several languages; parsers for cells and for labels in paths."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clearcast.core.errors import SheetError
from clearcast.data.readers.grid import SheetNote
from clearcast.noise import NOISES
from clearcast.noise.registry import NoiseType
from clearcast.types import Label, Subset

_PathLabels = Sequence[tuple[str, frozenset[Label]]]  # labels by path component, the nearest to the file first

# Words in columns and in paths. A dot or a space matches any separators, or none.
_WORDS = {
    Label.OK: (
        *("ok", "o.k.", "okay", "good", "pass", "passed", "accept", "accepted", "conforming"),
        *("i.O.", "in Ordnung", "gut", "Gutteil", "conforme", "合格", "合格品", "良品", "正常"),
    ),
    Label.DEFECT: (
        *("def", "defect", "defects", "defective", "bad", "fail", "failed", "reject", "rejected", "nonconforming"),
        *("nok", "n.OK", "n.o.k.", "not ok", "ng", "n.g.", "no good", "not good"),
        *("n.i.O.", "nicht in Ordnung", "schlecht", "Schlechtteil", "defekt", "fehlerhaft", "Ausschuss"),
        *("non conforme", "不合格", "不合格品", "不良", "不良品"),
    ),
}
# Words in columns only: too short or too common to be recognised in a path.
_COLUMN_WORDS = {
    Label.OK: ("p", "0", "false", "falsch", "normal"),
    Label.DEFECT: ("f", "1", "true", "wahr", "abnormal", "anomaly", "anomalous"),
}
_LETTER = r"[^\W\d_]"
_GAP = r"[\W_]*"
# Negates the following word. It can be joined to that word, as in "nodefect", but not "n" (and not in "nook").
_NEGATION = (
    rf"(?:(?:no(?!ok)|not|non|un|without|zero|free{_GAP}(?:of|from)|nicht|kein(?:e[mnrs]?)?|ohne|frei{_GAP}von){_GAP}"
    r"|n[\W_]+)?"
)
_ABSENCE = rf"{_GAP}(?:free|frei|less)(?!{_LETTER})"  # after a word for a defect, as in "defect-free"
_NOISE_VALUES = {word: kind for kind in NOISES for word in kind.specification.words}
_NOISE_VALUES |= dict.fromkeys(("none", "clean", "nonoise", "noisefree"), NoiseType.NONE)
_SUBSET_VALUES = {
    "train": Subset.TRAIN,
    "training": Subset.TRAIN,
    "validation": Subset.VALIDATION,
    "valid": Subset.VALIDATION,
    "val": Subset.VALIDATION,
    "dev": Subset.VALIDATION,
    "test": Subset.TEST,
    "testing": Subset.TEST,
}


@dataclass(frozen=True)
class LabelVocabulary:
    """Vocabulary for ok and defect: the built-in words, and the user's, which take precedence.

    Case, full-width letters, dots, spaces and hyphens are ignored. User values with a letter also apply to paths.

    Raises:
        SheetError: a user value is empty, or named for both labels.
    """

    ok_values: tuple[str, ...] = ()
    defect_values: tuple[str, ...] = ()
    _labels: dict[str, Label] = field(init=False, repr=False, compare=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = {Label.OK: self.ok_values, Label.DEFECT: self.defect_values}
        _require_distinct(own)
        labels = _labels_by_key(_WORDS) | _labels_by_key(_COLUMN_WORDS) | _labels_by_key(own)
        built_in = (word for words in _WORDS.values() for word in words)
        own_words = (word for words in own.values() for word in words if re.search(_LETTER, word))
        in_paths = {_folded(word).strip(): labels[_key(word)] for word in (*built_in, *own_words)}
        object.__setattr__(self, "_labels", labels)
        object.__setattr__(self, "_pattern", _path_pattern(in_paths))

    def parse(self, text: str) -> Label | None:
        """Parse a cell of a label column; None if the word is unknown.

        >>> words = LabelVocabulary()
        >>> words.parse("n.i.O."), words.parse("Good"), words.parse("perhaps")
        (<Label.DEFECT: 'defect'>, <Label.OK: 'ok'>, None)
        """
        return self._labels.get(_key(text))

    def in_name(self, name: str) -> frozenset[Label]:
        """Find the labels named by one component of a path.

        A negated word that is not in the vocabulary, as in ``no_def`` or ``defect-free``, counts as both labels. Only
        whole words count: ``book`` does not mean ok.
        """
        found = [match[0] for match in self._pattern.finditer(_folded(name))]
        return frozenset(label for word in found for label in self._labels_of(word))

    def in_path(self, path: str) -> frozenset[Label]:
        """Find the labels named by a path. A folder counts only if no component nearer to the file names a label."""
        return next((found for _, found in self.labels_by_component(path)), frozenset())

    def labels_by_component(self, path: str) -> list[tuple[str, frozenset[Label]]]:
        """List the components of a path that name labels, with these labels, the nearest to the file first."""
        return [(name, found) for name in reversed(path.split("/")) if (found := self.in_name(name))]

    def description(self) -> str:
        """List the vocabulary for messages."""
        own = {Label.OK: self.ok_values, Label.DEFECT: self.defect_values}
        return "; for ".join(
            f"{label}: {', '.join((*own[label], *_WORDS[label], *_COLUMN_WORDS[label]))}" for label in Label
        )

    def _labels_of(self, word: str) -> frozenset[Label]:
        known = self._labels.get(_key(word))
        return frozenset(Label) if known is None else frozenset((known,))


def find_labels_in_path(path: str) -> frozenset[Label]:
    """Find the labels named by a path, by words such as ``ok``, ``good``, ``def``, ``defect``, ``n.i.O.``.

    A folder counts only if no component nearer to the file names a label. Several labels are a contradiction.

    >>> sorted(find_labels_in_path("With-Noise/cast_def_0_100.jpeg"))
    [<Label.DEFECT: 'defect'>]
    >>> sorted(find_labels_in_path("ok_front/def_front/7.png")), sorted(find_labels_in_path("look/7.png"))
    ([<Label.DEFECT: 'defect'>], [])
    """
    return _DEFAULT_VOCABULARY.in_path(path)


def parse_noise_type(text: str) -> NoiseType | None:
    """Parse a cell of a noise type column, in common spellings; None if the word is unknown.

    >>> parse_noise_type("Salt & Pepper"), parse_noise_type("Poisson")
    (<NoiseType.SALT_AND_PEPPER: 'salt_and_pepper'>, None)
    """
    key = re.sub(r"[^a-z]", "", _folded(text).replace("&", "and"))
    return _NOISE_VALUES.get(key) or _NOISE_VALUES.get(key.removesuffix("noise"))


def parse_subset(text: str) -> Subset | None:
    """Parse a cell of a split column; None if the word is unknown.

    >>> parse_subset("Val"), parse_subset("exam")
    (<Subset.VALIDATION: 'validation'>, None)
    """
    return _SUBSET_VALUES.get(_folded(text).strip())


class PathLabelParser:
    """Parser for labels in paths. The component nearest to the file decides.

    A folder further up that names the other label, as in ``defect-detection/ok/1.png``, is ignored and reported in a
    note. It is a problem of the row only if it is the file's own folder and its name is only a label: ``ok/def_1.png``
    may be a misplaced file.

    Args:
        vocabulary: the words for ok and defect.
    """

    def __init__(self, vocabulary: LabelVocabulary) -> None:
        self._vocabulary = vocabulary
        self._ignored_folders: Counter[str] = Counter()
        self._examples: dict[str, str] = {}  # the first path in each ignored folder

    def parse(self, noisy: str, reference: str, problems: list[str]) -> Label | None:
        """Parse the label of a row from its paths; if there is none, return None and add a problem."""
        by_path = {path: self._vocabulary.labels_by_component(path) for path in (noisy, reference) if path}
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

    def notes(self) -> Iterator[SheetNote]:
        """Report the folders whose label was ignored in the rows so far."""
        if self._ignored_folders:
            (folder, count), *others = self._ignored_folders.most_common()
            more = f", and {len(others)} more such folders" if others else ""
            message = (
                f"{count} paths lie in a folder {folder!r}, whose name means another label than the name nearer to the "
                f"file{more}; the nearest name is used, as in {self._examples[folder]!r}; if that is wrong, name a "
                "--label-column"
            )
            yield SheetNote("labels in folders", message)

    def _contradiction(self, path: str, names: _PathLabels) -> str:
        """Describe a contradiction in a path, within a name or between the file and its folder; "" if there is none."""
        if names and len(names[0][1]) > 1:
            return f"the path {path!r} names both ok and defect"
        folder, _, file = path.rpartition("/")
        parent = folder.rpartition("/")[2]
        found = dict(names)
        if file not in found or parent not in found or found[file] == found[parent]:
            return ""
        if self._vocabulary.parse(parent) is None:  # its name has other words too
            return ""
        meanings = (f"{name!r} means {next(iter(found[name]))}" for name in (file, parent))
        return f"the path {path!r} contradicts itself: {', '.join(meanings)}"

    def _count_ignored(self, by_path: Mapping[str, _PathLabels], label: Label) -> None:
        for path, names in by_path.items():
            if folder := next((name for name, found in names if label not in found), ""):
                self._examples.setdefault(folder, path)
                self._ignored_folders[folder] += 1


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _key(text: str) -> str:
    """Normalise a word for comparison; 1.0 equals 1, but 1,000 does not."""
    folded = _folded(text).strip()
    if re.fullmatch(r"[-+]?[\d.,]+", folded):
        return re.sub(r"\.0*$|,0{0,2}$", "", folded.removeprefix("+"))
    return re.sub(r"[\W_]+", "", folded)


def _labels_by_key(words: dict[Label, tuple[str, ...]]) -> dict[str, Label]:
    return {_key(word): label for label, each in words.items() for word in each}


def _path_pattern(words: Mapping[str, Label]) -> re.Pattern[str]:
    """Compile a pattern that finds whole words, the longest first, with their negation.

    Args:
        words: the label of each case-folded word.
    """
    longest_first = sorted(words, key=len, reverse=True)
    patterns = (_word_pattern(word, words[word]) for word in longest_first)
    return re.compile(f"(?<!{_LETTER}){_NEGATION}(?:{'|'.join(patterns)})")


def _word_pattern(word: str, label: Label) -> str:
    """Return a pattern for a word; a word that begins or ends in a digit must not touch other digits."""
    parts = [part for part in re.split(r"[\W_]+", word) if part]
    before = r"(?<!\d)" if parts[0][0].isdigit() else ""
    after = r"(?!\d)" if parts[-1][-1].isdigit() else f"(?!{_LETTER})"
    ending = f"(?:{_ABSENCE}|{after})" if label is Label.DEFECT else after
    return before + _GAP.join(parts) + ending


def _require_distinct(own: dict[Label, tuple[str, ...]]) -> None:
    for label, values in own.items():
        if any(not _key(value) for value in values):
            raise SheetError(f"--{label}-value: expected a word that means {label}, got an empty text")
    if both := set(map(_key, own[Label.OK])) & set(map(_key, own[Label.DEFECT])):
        raise SheetError(f"{min(both)!r} is named by both --ok-value and --defect-value; name it with one of them")


_DEFAULT_VOCABULARY = LabelVocabulary()
