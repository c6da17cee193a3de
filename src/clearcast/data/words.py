"""What the words of a sheet and of its paths mean."""

import re
from pathlib import PurePosixPath

from clearcast.domain import Label, NoiseType, Subset

_LABEL_WORDS = {
    "ok": Label.OK,
    "def": Label.DEFECT,
    "defect": Label.DEFECT,
    "defects": Label.DEFECT,
    "defective": Label.DEFECT,
}
_NEGATED = re.compile(rf"(?<![a-z])(not?|non)[^a-z0-9]+({'|'.join(_LABEL_WORDS)})(?![a-z])")
_LABEL_VALUES = _LABEL_WORDS | {
    "good": Label.OK,
    "pass": Label.OK,
    "0": Label.OK,
    "false": Label.OK,
    "bad": Label.DEFECT,
    "fail": Label.DEFECT,
    "nok": Label.DEFECT,
    "ng": Label.DEFECT,
    "1": Label.DEFECT,
    "true": Label.DEFECT,
}
_NOISE_VALUES = {
    "gaussian": NoiseType.GAUSSIAN,
    "gauss": NoiseType.GAUSSIAN,
    "awgn": NoiseType.GAUSSIAN,
    "salt": NoiseType.SALT_AND_PEPPER,
    "saltpepper": NoiseType.SALT_AND_PEPPER,
    "saltandpepper": NoiseType.SALT_AND_PEPPER,
    "saltnpepper": NoiseType.SALT_AND_PEPPER,
    "sp": NoiseType.SALT_AND_PEPPER,
    "sandp": NoiseType.SALT_AND_PEPPER,
    "snp": NoiseType.SALT_AND_PEPPER,
    "impulse": NoiseType.SALT_AND_PEPPER,
    "periodic": NoiseType.PERIODIC,
    "sinusoidal": NoiseType.PERIODIC,
    "stripe": NoiseType.PERIODIC,
    "stripes": NoiseType.PERIODIC,
    "none": NoiseType.NONE,
    "clean": NoiseType.NONE,
    "nonoise": NoiseType.NONE,
    "noisefree": NoiseType.NONE,
}
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


def labels_in_path(path: str) -> frozenset[Label]:
    """The labels that a path's words name, as in the report: ``ok``, and ``def`` or ``defect``.

    The file's name is read first; a folder's name counts only where no name nearer to the file says anything. More
    than one label means that the words contradict each other; a negated word, as in ``not_ok``, says both.

    >>> sorted(labels_in_path("With-Noise/cast_def_0_100.jpeg"))
    [<Label.DEFECT: 'defect'>]
    >>> sorted(labels_in_path("ok_front/def_front/7.png")), sorted(labels_in_path("look/7.png"))
    ([<Label.DEFECT: 'defect'>], [])
    """
    for name in reversed(PurePosixPath(path.lower()).parts):
        if _NEGATED.search(name):
            return frozenset(Label)
        found = frozenset(_LABEL_WORDS[word] for word in re.split(r"[^a-z]+", name) if word in _LABEL_WORDS)
        if found:
            return found
    return frozenset()


def parse_label(text: str) -> Label | None:
    """The label that a cell of a label column means, or None.

    >>> parse_label("NOK"), parse_label("Good"), parse_label("perhaps")
    (<Label.DEFECT: 'defect'>, <Label.OK: 'ok'>, None)
    """
    return _LABEL_VALUES.get(text.strip().lower())


def parse_noise_type(text: str) -> NoiseType | None:
    """The noise type that a cell means, in its common spellings, or None.

    >>> parse_noise_type("Salt & Pepper"), parse_noise_type("Poisson")
    (<NoiseType.SALT_AND_PEPPER: 'salt_and_pepper'>, None)
    """
    key = re.sub(r"[^a-z]", "", text.lower().replace("&", "and"))
    return _NOISE_VALUES.get(key) or _NOISE_VALUES.get(key.removesuffix("noise"))


def parse_subset(text: str) -> Subset | None:
    """The subset that a cell of a split column means, or None.

    >>> parse_subset("Val"), parse_subset("exam")
    (<Subset.VALIDATION: 'validation'>, None)
    """
    return _SUBSET_VALUES.get(text.strip().lower())
