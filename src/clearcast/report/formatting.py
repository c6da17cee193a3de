"""Formatting of numbers, intervals and durations, and rendering of the package's templates."""

import math

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clearcast.core.evidence_schema import ValueWithCI
from clearcast.metrics.bootstrap import wilson_interval
from clearcast.metrics.results import MeanAndStd

DASH = "–"


def format_decimal(value: float | None, digits: int = 4, *, sign: bool = False) -> str:
    """Format a number with a fixed number of decimals.

    >>> format_decimal(0.764), format_decimal(26.0741, 2), format_decimal(5.3, 2, sign=True)
    ('0.7640', '26.07', '+5.30')
    >>> format_decimal(None), format_decimal(math.inf)
    ('–', '∞')
    """
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "−")


def format_mean_and_std(spread: MeanAndStd | None, digits: int = 4) -> str:
    """Format a mean with its standard deviation.

    >>> format_mean_and_std({"mean": 26.074, "std": 1.93}, 2)
    '26.07 ± 1.93'
    """
    if spread is None or spread["mean"] is None:
        return DASH
    mean = format_decimal(spread["mean"], digits)
    return mean if spread["std"] is None else f"{mean} ± {format_decimal(spread['std'], digits)}"


def format_bounds(value: ValueWithCI | None, digits: int = 3, *, sign: bool = False) -> str:
    """Format the bounds of a value's interval.

    >>> format_bounds({"value": 0.84, "low": 0.7821, "high": 0.884})
    '0.782 to 0.884'
    >>> format_bounds({"value": None, "low": None, "high": None})
    '–'
    """
    if value is None or value["low"] is None or value["high"] is None:
        return DASH
    return f"{format_decimal(value['low'], digits, sign=sign)} to {format_decimal(value['high'], digits, sign=sign)}"


def format_value_with_ci(value: ValueWithCI | None, digits: int = 4, *, sign: bool = False) -> str:
    """Format a value with its interval, as far as they are defined.

    >>> format_value_with_ci({"value": 3.061, "low": 2.58, "high": 3.5}, 2, sign=True)
    '+3.06 (+2.58 to +3.50)'
    """
    if value is None or value["value"] is None:
        return DASH
    text, ends = format_decimal(value["value"], digits, sign=sign), format_bounds(value, digits, sign=sign)
    return text if ends == DASH else f"{text} ({ends})"


def complete_sentence(words: str) -> str:
    """Complete a sentence that may lack its capital and its full stop.

    >>> complete_sentence("denoising raised accuracy"), complete_sentence("It did.")
    ('Denoising raised accuracy.', 'It did.')
    """
    return words if not words else f"{words[0].upper()}{words[1:].rstrip('.')}."


def format_duration(seconds: float) -> str:
    """Format a time span in its two largest units.

    >>> format_duration(8.34), format_duration(200), format_duration(3725)
    ('8.3 s', '3 min 20 s', '1 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def independent_interval(share: float, images: int) -> tuple[float, float]:
    """Compute the 95% Wilson interval of a share of images, assuming that the images are independent.

    It serves runs without evidence, whose parts are unknown.

    >>> [round(bound, 3) for bound in independent_interval(0.9, 100)]
    [0.826, 0.945]
    """
    low, high = wilson_interval(np.array([share]), np.array([float(images)]))
    return float(low[0]), float(high[0])


def render_template(template: str, **context: object) -> Markup:
    """Render one of the templates of this package; escapes all values except markup that the package made."""
    environment = Environment(
        loader=PackageLoader("clearcast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Markup(environment.get_template(template).render(context))
