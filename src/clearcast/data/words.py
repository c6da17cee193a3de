"""What the words of a sheet and of its paths mean."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from clearcast.domain import Label, NoiseType, Subset
from clearcast.errors import SheetError
from clearcast.noise import NOISES

# Words in columns and in paths. At a dot or a space, any separators may stand, or none.
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
# Too short or too common to be told from other words of a path.
_COLUMN_WORDS = {
    Label.OK: ("p", "0", "false", "falsch", "normal"),
    Label.DEFECT: ("f", "1", "true", "wahr", "abnormal", "anomaly", "anomalous"),
}
_LETTER = r"[^\W\d_]"
_GAP = r"[\W_]*"
# What turns the word behind it round. It may be joined to it, as in "nodefect", except in "n" and in "nook".
_NEGATION = (
    rf"(?:(?:no(?!ok)|not|non|un|without|zero|free{_GAP}(?:of|from)|nicht|kein(?:e[mnrs]?)?|ohne|frei{_GAP}von){_GAP}"
    r"|n[\W_]+)?"
)
_ABSENCE = rf"{_GAP}(?:free|frei|less)(?!{_LETTER})"  # behind a word for a defect, as in "defect-free"
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
class LabelWords:
    """The words that mean ok or defect: those that are known, and a user's own, which outweigh them.

    Capitals, full-width letters, dots, spaces and hyphens do not matter. A value of one's own that has a letter counts
    in paths too.

    Raises:
        SheetError: an own value is empty, or is said to mean both.
    """

    ok_values: tuple[str, ...] = ()
    defect_values: tuple[str, ...] = ()
    _labels: dict[str, Label] = field(init=False, repr=False, compare=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = {Label.OK: self.ok_values, Label.DEFECT: self.defect_values}
        _require_distinct(own)
        labels = _by_key(_WORDS) | _by_key(_COLUMN_WORDS) | _by_key(own)
        known = (word for words in _WORDS.values() for word in words)
        named = (word for words in own.values() for word in words if re.search(_LETTER, word))
        in_paths = {_folded(word).strip(): labels[_key(word)] for word in (*known, *named)}
        object.__setattr__(self, "_labels", labels)
        object.__setattr__(self, "_pattern", _path_pattern(in_paths))

    def parse(self, text: str) -> Label | None:
        """The label that a cell of a label column means, or None."""
        return self._labels.get(_key(text))

    def in_name(self, name: str) -> frozenset[Label]:
        """The labels that one component of a path names.

        A negated word that is not known itself, as in ``no_def`` or ``defect-free``, says both. Only whole words count:
        ``book`` says nothing.
        """
        found = [match[0] for match in self._pattern.finditer(_folded(name))]
        return frozenset(label for word in found for label in self._labels_of(word))

    def in_path(self, path: str) -> frozenset[Label]:
        """The labels that a path's words name. A folder counts only if no name nearer to the file says anything."""
        return next((found for _, found in self.said(path)), frozenset())

    def said(self, path: str) -> list[tuple[str, frozenset[Label]]]:
        """The components of a path that name labels, and which, the nearest to the file first."""
        return [(name, found) for name in reversed(path.split("/")) if (found := self.in_name(name))]

    def described(self) -> str:
        """All words that are known, for messages."""
        own = {Label.OK: self.ok_values, Label.DEFECT: self.defect_values}
        return "; for ".join(
            f"{label}: {', '.join((*own[label], *_WORDS[label], *_COLUMN_WORDS[label]))}" for label in Label
        )

    def _labels_of(self, word: str) -> frozenset[Label]:
        known = self._labels.get(_key(word))
        return frozenset(Label) if known is None else frozenset((known,))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _key(text: str) -> str:
    """A word as words are compared; 1.0 is 1, and a number is not taken for another: 1,000 is no 1."""
    folded = _folded(text).strip()
    if re.fullmatch(r"[-+]?[\d.,]+", folded):
        return re.sub(r"\.0*$|,0{0,2}$", "", folded.removeprefix("+"))
    return re.sub(r"[\W_]+", "", folded)


def _by_key(words: dict[Label, tuple[str, ...]]) -> dict[str, Label]:
    return {_key(word): label for label, each in words.items() for word in each}


def _path_pattern(words: Mapping[str, Label]) -> re.Pattern[str]:
    """Finds whole words, the longest first, with what negates them.

    Args:
        words: the label of each word, which is folded.
    """
    pieces = sorted(words, key=len, reverse=True)
    patterns = (_word_pattern(word, words[word]) for word in pieces)
    return re.compile(f"(?<!{_LETTER}){_NEGATION}(?:{'|'.join(patterns)})")


def _word_pattern(word: str, label: Label) -> str:
    """Matches a word; one that begins or ends in a digit is set off from other digits."""
    parts = [part for part in re.split(r"[\W_]+", word) if part]
    before = r"(?<!\d)" if parts[0][0].isdigit() else ""
    after = r"(?!\d)" if parts[-1][-1].isdigit() else f"(?!{_LETTER})"
    ending = f"(?:{_ABSENCE}|{after})" if label is Label.DEFECT else after
    return before + _GAP.join(parts) + ending


def _require_distinct(own: dict[Label, tuple[str, ...]]) -> None:
    for label, values in own.items():
        if any(not _key(value) for value in values):
            raise SheetError(f"--{label}-value is empty; expected a word that means {label}")
    if both := _by_key({Label.OK: own[Label.OK]}).keys() & _by_key({Label.DEFECT: own[Label.DEFECT]}).keys():
        raise SheetError(
            f"{min(both)!r} is named both with --ok-value and with --defect-value; name it with one of them"
        )


KNOWN_LABELS = LabelWords()


def labels_in_path(path: str) -> frozenset[Label]:
    """The labels that a path's words name, such as ``ok``, ``good``, ``def``, ``defect``, ``n.i.O.``.

    The file's name is read first; a folder's name counts only if no name nearer to the file says anything. More
    than one label means that the words contradict each other.

    >>> sorted(labels_in_path("With-Noise/cast_def_0_100.jpeg"))
    [<Label.DEFECT: 'defect'>]
    >>> sorted(labels_in_path("ok_front/def_front/7.png")), sorted(labels_in_path("look/7.png"))
    ([<Label.DEFECT: 'defect'>], [])
    """
    return KNOWN_LABELS.in_path(path)


def parse_label(text: str) -> Label | None:
    """The label that a cell of a label column means, or None.

    >>> parse_label("n.i.O."), parse_label("Good"), parse_label("perhaps")
    (<Label.DEFECT: 'defect'>, <Label.OK: 'ok'>, None)
    """
    return KNOWN_LABELS.parse(text)


def parse_noise_type(text: str) -> NoiseType | None:
    """The noise type that a cell means, in its common spellings, or None.

    >>> parse_noise_type("Salt & Pepper"), parse_noise_type("Poisson")
    (<NoiseType.SALT_AND_PEPPER: 'salt_and_pepper'>, None)
    """
    key = re.sub(r"[^a-z]", "", _folded(text).replace("&", "and"))
    return _NOISE_VALUES.get(key) or _NOISE_VALUES.get(key.removesuffix("noise"))


def parse_subset(text: str) -> Subset | None:
    """The subset that a cell of a split column means, or None.

    >>> parse_subset("Val"), parse_subset("exam")
    (<Subset.VALIDATION: 'validation'>, None)
    """
    return _SUBSET_VALUES.get(_folded(text).strip())
