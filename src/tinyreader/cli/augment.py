"""`tinyreader augment`: rewritten copies of a data set that keep its answers."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tinyreader.cli.options import OnBadOption, QuietOption, SplitOption, data_argument, out_option
from tinyreader.errors import SettingsError

if TYPE_CHECKING:
    from tinyreader.augment.paragraphs import Paragraph
    from tinyreader.augment.proposer import AugmentOptions, Proposer
    from tinyreader.augment.proposers import ProposerNames
    from tinyreader.data import Example


def augment(
    data: Annotated[str, data_argument("What to rewrite")],
    out: Annotated[
        Path | None,
        out_option("Rewritten data: .json or .jsonl, also .gz. The settings are written beside it."),
    ] = None,
    times: Annotated[int | None, typer.Option(help="Copies of each paragraph (default: 20).")] = None,
    masked_lm: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Masked language model that proposes replacements for single-token words: a directory or Hub id.",
        ),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Word vectors (GloVe, word2vec) that propose replacements for other words."
        ),
    ] = None,
    synonyms: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Synonyms, tried first; each line is a word, a tab and a synonym."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Use the augmentation settings of this recipe; other options override them."),
    ] = None,
    show: Annotated[
        int, typer.Option(metavar="N", min=0, help="Print N rewritten paragraphs instead of writing all.")
    ] = 0,
    probability: Annotated[
        float | None, typer.Option(help="Probability that a word is replaced (default: 0.4).")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="How many proposals each replacement is drawn from (default: 15).")
    ] = None,
    keep_original: Annotated[
        bool, typer.Option("--keep-original", help="Write the original before its copies.")
    ] = False,
    replace_answers: Annotated[
        bool, typer.Option("--replace-answers", help="Also replace words in answers; the answers follow.")
    ] = False,
    replace_question_words: Annotated[
        bool, typer.Option("--replace-question-words", help="Also replace words that occur in the questions.")
    ] = False,
    replace_digits: Annotated[
        bool, typer.Option("--replace-digits", help="Also replace words with digits.")
    ] = False,
    keep_stop_words: Annotated[
        bool, typer.Option("--keep-stop-words", help="Never replace stop words (the, of, not).")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Mask one word at a time: slower.")] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed (default: the recipe's, else 1).")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], typer.Option(help="Number format of the arithmetic.")
    ] = "auto",
    split: SplitOption = None,
    on_bad: OnBadOption = "error",
    quiet: QuietOption = False,
) -> None:
    """Rewrite the paragraphs of a data set, keeping its answers.

    An interrupted run resumes with the same command.
    """
    from tinyreader.augment.job import Input, augment_file, scan
    from tinyreader.data import writer_for
    from tinyreader.progress import Progress, StopSwitch, stop_signals
    from tinyreader.storage import require_output

    if out is None and not show:
        raise SettingsError("give the file to write with -o OUT, or look at some copies first with --show 3")
    if out is not None:
        writer_for(out)  # an unknown suffix fails before any work
        require_output(out, "--out", {"the data": data})
    flags = {
        "times": times,
        "probability": probability,
        "candidates": candidates,
        "seed": seed,
        "keep_original": keep_original,
        "replace_answers": replace_answers,
        "replace_question_words": replace_question_words,
        "replace_digits": replace_digits,
        "keep_stop_words": keep_stop_words,
        "masked_lm": masked_lm,
        "vectors": vectors,
        "synonyms": synonyms,
        "exact": exact,
    }
    given = {key: value for key, value in flags.items() if value is not None and value is not False}
    resolved = _resolve(recipe, given, precision)
    source, progress, stop = Input(data, split, on_bad), Progress(quiet=quiet), StopSwitch()
    with stop_signals(stop, lambda reason: progress.say(f"{reason}: finishing the paragraphs under way")):
        scanned = scan(source, stop)
        if scanned.report.counts:
            progress.say(f"{data}: {scanned.report}")
        proposers = resolved.names.open(resolved.options.candidates, progress.say)
        if show:
            _print_copies(
                _draw_paragraphs(source.examples(), show, resolved.options.seed), proposers, resolved.options
            )
            return
        assert out is not None  # checked above
        report = augment_file(source, out, proposers, resolved.options, scanned, progress, stop)
    progress.say(f"{out}: {report}")
    typer.echo(json.dumps({"out": str(out), **report.as_dict()}))


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The options and proposers that the flags and the recipe give together."""

    options: AugmentOptions
    names: ProposerNames


def _resolve(recipe: str | None, flags: dict[str, Any], precision: str) -> _Resolved:
    """The recipe's settings with the flags on top, checked as in a recipe."""
    from pydantic import ValidationError

    from tinyreader.augment.proposer import AugmentOptions
    from tinyreader.distil.recipe import explain, load_recipe
    from tinyreader.distil.settings import AugmentSettings

    seed, content = AugmentOptions().seed, {}
    if recipe is not None:
        loaded = load_recipe(recipe)
        augmented = [stage.augment for stage in loaded.stages if stage.augment is not None]
        if not augmented:
            raise SettingsError(
                f"no stage of the recipe {recipe} is augmented: there are no settings to take from it"
            )
        seed, content = loaded.training.seed, augmented[0].model_dump()
    seed = flags.pop("seed", seed)
    content |= flags
    try:
        settings = AugmentSettings.model_validate(content)
    except ValidationError as error:
        raise SettingsError(explain(error, AugmentSettings, content)) from None
    return _Resolved(settings.options(seed), settings.proposers(precision))


def _draw_paragraphs(examples: Iterable[Example], n: int, seed: int) -> list[Paragraph]:
    """A random sample of `n` paragraphs, in their order."""
    from tinyreader.augment.paragraphs import paragraphs_of

    draw, kept = random.Random(seed), dict[int, "Paragraph"]()
    for number, paragraph in enumerate(paragraphs_of(examples)):  # reservoir sampling
        if len(kept) < n:
            kept[number] = paragraph
        elif draw.random() < n / (number + 1):
            del kept[draw.choice(sorted(kept))]
            kept[number] = paragraph
    return [kept[number] for number in sorted(kept)]


def _print_copies(
    paragraphs: Sequence[Paragraph], proposers: Sequence[Proposer], options: AugmentOptions
) -> None:
    """Print the first copy of each paragraph; the replaced word follows its replacement in brackets."""
    from tinyreader.augment.paragraphs import marked, prepare

    live = sys.stdout.isatty()
    for prepared in prepare(paragraphs, proposers, options):
        copies = prepared.copies(options)
        copy = next(iter(copies), None)
        title = prepared.examples[0].title
        n_words = len(prepared.places.words)
        if copy is None:
            typer.echo(
                f"{title}: no copy can be made ({n_words} words, none with candidates)\n{prepared.text}\n"
            )
            continue
        typer.echo(f"{title}: {len(copy.replacements)} of {n_words} words replaced")
        pieces = [
            (typer.style(now, fg="green", bold=True) if live else now) + f"[{before}]" if before else now
            for now, before in marked(prepared, copy)
        ]
        typer.echo("".join(pieces) + "\n")
