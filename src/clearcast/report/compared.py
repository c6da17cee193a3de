"""Two bundles compared: tables for the terminal."""

import pandas as pd
from rich.markup import escape
from rich.table import Table

from clearcast.evaluation.evidence.differences import ALL, Difference
from clearcast.report.numbers import DASH, measured

SHOWN = 20  # changed verdicts that the terminal shows
_DIGITS = {"PSNR": 2}


def difference_table(found: list[Difference]) -> Table:
    """Every measure of A and of B, and of B minus A, with 95% intervals over parts."""
    table = Table("", "", "noise", "A", "B", "B - A", "better", title="A against B", title_justify="left")
    table.caption = (
        "95% intervals over parts, of each measure by itself. Better: the difference's interval is beyond 0."
    )
    table.caption_justify = "left"
    for each in found:
        digits = _DIGITS.get(each.measure, 3)
        figures = measured(each.first, digits), measured(each.second, digits)
        signed = measured(each.difference, digits, sign=True)
        noise = "" if each.noise == ALL else each.noise
        name = "PSNR, dB" if each.measure == "PSNR" else each.measure
        table.add_row(each.aspect.value, name, noise, *figures, signed, each.better or DASH)
    return table


def changed_table(changes: pd.DataFrame) -> Table:
    """The first of the images whose verdict differs: path, label, and what each bundle said."""
    table = Table("row", "picture", "label", "A", "B", "right", title="Verdicts that change", title_justify="left")
    for line in changes.head(SHOWN).to_dict("records"):
        said = (f"{line[f'said_{side}']} ({line[f'p_defect_{side}']:.3f})" for side in ("a", "b"))
        table.add_row(str(line["row"]), escape(str(line["noisy"])), str(line["label"]), *said, str(line["right"]))
    if len(changes) > SHOWN:
        table.caption = f"... and {len(changes) - SHOWN} more: all of them with --out DIR"
        table.caption_justify = "left"
    return table
