"""The words of the field as closed sets."""

from enum import StrEnum


class Label(StrEnum):
    """What is true of a part. ``DEFECT`` is the positive class in every metric."""

    OK = "ok"
    DEFECT = "defect"


class NoiseType(StrEnum):
    """What spoils a picture."""

    GAUSSIAN = "gaussian"
    SALT_AND_PEPPER = "salt_and_pepper"
    PERIODIC = "periodic"
    NONE = "none"

    @property
    def display_name(self) -> str:
        """The name as people read it in tables and figures.

        >>> NoiseType.SALT_AND_PEPPER.display_name
        'Salt-and-pepper'
        """
        return self.value.replace("_", "-").capitalize()


class Subset(StrEnum):
    """What a row is used for. ``VALIDATION`` rows choose (when to stop, which threshold); they are not reported on."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
