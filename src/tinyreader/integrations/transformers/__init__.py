"""The question-answering pipeline that Transformers had until 5.2, by the names it had, on Tinyreader's
engines.

    from tinyreader.integrations.transformers import AutoModelForQuestionAnswering, AutoTokenizer, pipeline

replaces the same import from `transformers`; docs/transformers.md lists what runs and what differs. It needs
neither Transformers nor torch, and works beside both.
"""

from __future__ import annotations

from tinyreader.integrations.transformers.inputs import (
    InputError,
    MissingKeyError,
    ParameterError,
    SquadExample,
)
from tinyreader.integrations.transformers.models import AutoModelForQuestionAnswering, AutoTokenizer
from tinyreader.integrations.transformers.pipeline import QuestionAnsweringPipeline, pipeline

__all__ = [
    "AutoModelForQuestionAnswering",
    "AutoTokenizer",
    "InputError",
    "MissingKeyError",
    "ParameterError",
    "QuestionAnsweringPipeline",
    "SquadExample",
    "pipeline",
]
