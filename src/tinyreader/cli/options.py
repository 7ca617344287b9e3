"""What the commands share: options that mean, take and say the same everywhere, and messages on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

from tinyreader.data import OnBad
from tinyreader.errors import DataError
from tinyreader.runtimes import PrecisionName

# Written out here, because runtimes.engines loads OpenVINO, and help should appear at once.
Engine = Literal["auto", "openvino", "onnx", "torch"]

ENGINE_HELP = "Inference engine; onnx needs the onnx extra, torch the train extra."
PRECISION_HELP = "Number format of the arithmetic; int8 only after `tinyreader export` has calibrated it."

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Reader: a directory or a Hub id.")]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="Reader: a directory or a Hub id.")]
SplitOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Split of a Hub data set, such as validation.")
]
OnBadOption = Annotated[
    OnBad,
    typer.Option(
        help="What to do about bad examples: stop; repair wrong offsets and skip the rest; or skip all."
    ),
]
SeedOption = Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")]
EngineOption = Annotated[Engine, typer.Option(help=ENGINE_HELP)]
PrecisionOption = Annotated[PrecisionName, typer.Option(help=PRECISION_HELP)]
ThreadsOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Number of CPU threads (default: all cores).")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only, no progress.")]

TopKOption = Annotated[
    int | None, typer.Option(metavar="N", help="Maximum number of answers (default: 3, or the model's).")
]
ScoreThresholdOption = Annotated[
    float | None, typer.Option(help="Leave out answers with a lower score, 0 to 1.")
]
NoAnswerThresholdOption = Annotated[
    float | None,
    typer.Option(
        help="How far, in logits, the score of no answer may exceed the best answer's before no answer wins; "
        "inf: always answer."
    ),
]
PassagesOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Read only the N passages that best match the question; 0: everything."),
]
TruncateQuestionsOption = Annotated[
    bool, typer.Option("--truncate-questions", help="Truncate questions that are too long for the model.")
]
QuestionsOption = Annotated[int, typer.Option(metavar="N", min=1, help="Maximum number of questions.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any other setting; may be repeated."),
]


def example(words: str) -> str:
    """The epilog of a command's help: how it is called. The \\b keeps its lines as they are."""
    return f"\b\nExample:\n  tinyreader {words}"


def out_option(help_text: str, metavar: str = "FILE") -> Any:
    """The `--out` of a command, which says what goes there."""
    return typer.Option("--out", "-o", metavar=metavar, help=help_text)


def data_argument(help_text: str) -> Any:
    """A data set as an argument; the text says what it is for."""
    return typer.Argument(
        metavar="DATA", help=f"{help_text}: SQuAD JSON, JSON Lines, CSV, Parquet (also .gz), or a Hub id."
    )


def warn(text: str) -> None:
    """Print a line on stderr."""
    typer.echo(f"tinyreader: {text}", err=True)


@contextmanager
def question_length_advice(remedies: str) -> Iterator[None]:
    """Replace the advice of a `LongQuestionError`, which is for programs, by what this command can do."""
    from tinyreader.windows import LongQuestionError

    try:
        yield
    except LongQuestionError as error:
        raise DataError(f"{error.fact}. {remedies}") from None
