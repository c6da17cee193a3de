"""How the evidence's sentences write numbers."""

from clearcast.evaluation.evidence.contract import Figure


def percent(share: float) -> str:
    """Write a share with one decimal.

    >>> percent(0.0254), percent(0.01)
    ('2.5%', '1.0%')
    """
    return f"{100 * share:.1f}%"


def limit(share: float) -> str:
    """Write a share that a user named, with as many decimals as it needs.

    >>> limit(0.01), limit(0.005)
    ('1%', '0.5%')
    """
    return f"{100 * share:.6g}%"


def figure_text(figure: Figure) -> str:
    """Write a share with its interval.

    >>> figure_text({"value": 0.025, "low": 0.008, "high": 0.08})
    '2.5%, 95%: 0.8 to 8.0'
    """
    if figure["value"] is None:
        return "not defined"
    return f"{percent(figure['value'])}, {span(figure)}"


def span(figure: Figure) -> str:
    """Write an interval in hundredths.

    >>> span({"value": 0.04, "low": -0.008, "high": 0.089})
    '95%: -0.8 to 8.9'
    """
    if figure["low"] is None or figure["high"] is None:
        return "one part only, so no interval"
    return f"95%: {100 * figure['low'] + 0.0:.1f} to {100 * figure['high'] + 0.0:.1f}"


def counted(number: int, one: str) -> str:
    """Write how many there are of a thing whose plural ends in s.

    >>> counted(1, "part"), counted(1200, "image")
    ('1 part', '1,200 images')
    """
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"
