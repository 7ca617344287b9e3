"""Where a report and its relatives go: what may be replaced there, and whether it can be written, before work
is spent.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tinyreader.errors import SettingsError
from tinyreader.report.record import NULL_ODDS, PAGE, PLOTS, PREDICTIONS, QUESTIONS, REPORT, our_names
from tinyreader.storage import require_writable


def check_output(out: Path) -> None:
    """Raises `SettingsError` where a report cannot be written to `out`, or would replace what is no part of
    one.

    A report's directory is known by its page or its `report.json`: predictions that lie there alone are
    somebody's own.
    """
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; give the name of a directory for the report")
    require_writable(out, f"--out {out}")
    if not out.is_dir():
        return
    names = {path.name for path in out.iterdir() if not path.name.startswith(".tmp-")}
    others = names - our_names()
    if not names & {REPORT, PAGE}:
        others |= names & {PREDICTIONS, NULL_ODDS, QUESTIONS}
    if others:
        raise SettingsError(
            f"--out {out} holds something else ({', '.join(sorted(others)[:3])}); give a new or empty "
            "directory"
        )


def remove_old_plots(out: Path, known: Collection[str], kept: Collection[str]) -> None:
    """Removes those plots of an earlier report in `out` that this one does not have; other files in their
    folder stay.

    `known` are the names of all plots a report can have, `kept` those of this one's.
    """
    for name in set(known) - set(kept):
        for dark in ("", "-dark"):
            for kind in ("svg", "png"):
                (out / PLOTS / f"{name}{dark}.{kind}").unlink(missing_ok=True)
