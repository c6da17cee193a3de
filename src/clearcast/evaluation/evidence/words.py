"""Number formatting for sentences: percentages, intervals and counts."""

from clearcast.evaluation.evidence.contract import Figure


def percent(share: float) -> str:
    """Format a share as a percentage with one decimal.

    >>> percent(0.0254), percent(0.01)
    ('2.5%', '1.0%')
    """
    return f"{100 * share:.1f}%"


def limit(share: float) -> str:
    """Format a share that a user gave, with as many decimals as it has.

    >>> limit(0.01), limit(0.005)
    ('1%', '0.5%')
    """
    return f"{100 * share:.6g}%"


def figure_text(figure: Figure) -> str:
    """Format a share with its interval.

    >>> figure_text({"value": 0.025, "low": 0.008, "high": 0.08})
    '2.5%, 95%: 0.8 to 8.0'
    """
    if figure["value"] is None:
        return "not defined"
    return f"{percent(figure['value'])}, {span(figure)}"


def span(figure: Figure) -> str:
    """Format the interval of a share in percent.

    >>> span({"value": 0.04, "low": -0.008, "high": 0.089})
    '95%: -0.8 to 8.9'
    """
    if figure["low"] is None or figure["high"] is None:
        return "no interval: one part only"
    return f"95%: {100 * figure['low'] + 0.0:.1f} to {100 * figure['high'] + 0.0:.1f}"


def counted(number: int, noun: str) -> str:
    """Format a count of a noun whose plural ends in s.

    >>> counted(1, "part"), counted(1200, "image")
    ('1 part', '1,200 images')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
