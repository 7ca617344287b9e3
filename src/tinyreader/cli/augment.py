"""`tinyreader augment`: rewritten copies of a data set, with its answers alive."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyreader.cli.data import BadExamples
from tinyreader.cli.predict import PrecisionChoice
from tinyreader.errors import SettingsError

if TYPE_CHECKING:
    from tinyreader.augment.paragraphs import Paragraph
    from tinyreader.augment.proposer import AugmentOptions, Proposer
    from tinyreader.augment.proposers import ProposerNames
    from tinyreader.data import Example


def augment(
    data: Annotated[str, typer.Argument(help="What to rewrite: SQuAD JSON, JSONL or a Hub id.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where the copies go: .json or .jsonl, .gz too. Beside it, how they were made.",
        ),
    ] = None,
    times: Annotated[int | None, typer.Option(help="Copies of each paragraph (20 unless said).")] = None,
    masked_lm: Annotated[
        str | None,
        typer.Option(help="Masked language model, proposes for words of one piece: directory or Hub id."),
    ] = None,
    vectors: Annotated[
        str | None, typer.Option(help="Word vectors (GloVe, word2vec), propose for other words: a file.")
    ] = None,
    synonyms: Annotated[
        str | None, typer.Option(help="File of synonyms, asked first: word, tab, synonym.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Take the settings of this recipe's augmented stage.")
    ] = None,
    probability: Annotated[float | None, typer.Option(help="Chance that a word is replaced (0.4).")] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Proposals that each replacement is chosen from (15).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all choices (1, or the recipe's).")] = None,
    keep_original: Annotated[
        bool, typer.Option("--keep-original", help="The original before its copies.")
    ] = False,
    replace_answers: Annotated[
        bool, typer.Option("--replace-answers", help="Also words in answers; the answers move with them.")
    ] = False,
    replace_question_words: Annotated[
        bool, typer.Option("--replace-question-words", help="Also words that the questions share.")
    ] = False,
    replace_digits: Annotated[bool, typer.Option("--replace-digits", help="Also words with digits.")] = False,
    keep_stop_words: Annotated[
        bool, typer.Option("--keep-stop-words", help="Leave words of grammar (the, of, not) as they are.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Mask one word at a time: slower.")] = False,
    precision: Annotated[
        PrecisionChoice, typer.Option(help="Number format of the arithmetic.")
    ] = PrecisionChoice.auto,
    split: Annotated[str | None, typer.Option(help="Split of a Hub data set.")] = None,
    on_bad: Annotated[
        BadExamples,
        typer.Option(help="What to do about wrong examples: stop, mend offsets, or leave them out."),
    ] = BadExamples.error,
    show: Annotated[int, typer.Option(min=0, help="Print so many rewritten paragraphs and stop.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Rewrite every paragraph of a data set several times; the same command goes on where a stopped one
    was.
    """
    from tinyreader.augment.job import Input, augment_file, scan
    from tinyreader.data import writer_for
    from tinyreader.progress import Progress, StopSwitch, stop_signals
    from tinyreader.storage import require_output

    if out is None and not show:
        raise SettingsError("say where the copies go: -o OUT; or look at some first: --show 3")
    if out is not None:
        writer_for(out)  # a name that says nothing fails before any work
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
    said = {key: value for key, value in flags.items() if value is not None and value is not False}
    asked = _asked(recipe, said, precision.value)
    source, progress, stop = Input(data, split, on_bad.value), Progress(quiet=quiet), StopSwitch()
    with stop_signals(stop, lambda reason: progress.say(f"{reason}: finishing the paragraphs under way")):
        scanned = scan(source, stop)
        if scanned.report.counts:
            progress.say(f"{data}: {scanned.report}")
        proposers = asked.names.open(asked.options.candidates, progress.say)
        if show:
            _show(_some(source.examples(), show, asked.options.seed), proposers, asked.options)
            return
        assert out is not None  # checked above
        report = augment_file(source, out, proposers, asked.options, scanned, progress, stop)
    progress.say(f"{out}: {report}")
    typer.echo(json.dumps({"out": str(out), **report.as_dict()}))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line, and the recipe behind it, ask for."""

    options: AugmentOptions
    names: ProposerNames


def _asked(recipe: str | None, flags: dict[str, Any], precision: str) -> _Asked:
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
    return _Asked(settings.options(seed), settings.proposers(precision))


def _some(examples: Iterable[Example], n: int, seed: int) -> list[Paragraph]:
    """A seeded choice of `n` paragraphs from anywhere in the data, in their order."""
    from tinyreader.augment.paragraphs import paragraphs_of

    draw, kept = random.Random(seed), dict[int, "Paragraph"]()
    for number, paragraph in enumerate(paragraphs_of(examples)):  # reservoir sampling
        if len(kept) < n:
            kept[number] = paragraph
        elif draw.random() < n / (number + 1):
            del kept[draw.choice(sorted(kept))]
            kept[number] = paragraph
    return [kept[number] for number in sorted(kept)]


def _show(paragraphs: Sequence[Paragraph], proposers: Sequence[Proposer], options: AugmentOptions) -> None:
    """Print the first copy of each paragraph, with what was replaced in brackets after what stands there
    now.
    """
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


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    app.command()(augment)
