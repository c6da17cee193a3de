"""Terminal tables of a comparison of two bundles."""

import pandas as pd
from rich.markup import escape
from rich.table import Table

from clearcast.evaluation.evidence.differences import ALL, Difference
from clearcast.report.numbers import DASH, measured

SHOWN = 20  # changed verdicts in the terminal


def difference_table(found: list[Difference]) -> Table:
    """Tabulate every measure of A, of B, and of B minus A, with 95% intervals over parts."""
    table = Table("", "", "noise", "A", "B", "B - A", "better", title="A compared with B", title_justify="left")
    table.caption = "95% intervals over parts, each measure by itself. Better: the difference's interval excludes 0."
    table.caption_justify = "left"
    for each in found:
        digits = each.info.decimals
        figures = measured(each.first, digits), measured(each.second, digits)
        signed = measured(each.difference, digits, sign=True)
        noise = "" if each.noise == ALL else each.noise
        name = f"{each.measure}, {each.info.unit}" if each.info.unit else each.measure
        table.add_row(each.aspect.display_name, name, noise, *figures, signed, each.better or DASH)
    return table


def changed_table(changes: pd.DataFrame) -> Table:
    """Tabulate the first images whose verdict differs: path, label, and the prediction of each bundle."""
    table = Table("row", "image", "label", "A", "B", "right", title="Changed verdicts", title_justify="left")
    for line in changes.head(SHOWN).to_dict("records"):
        verdicts = (f"{line[f'said_{side}']} ({line[f'p_defect_{side}']:.3f})" for side in ("a", "b"))
        table.add_row(str(line["row"]), escape(str(line["noisy"])), str(line["label"]), *verdicts, str(line["right"]))
    if len(changes) > SHOWN:
        table.caption = f"... and {len(changes) - SHOWN} more; --out DIR writes all of them"
        table.caption_justify = "left"
    return table
