"""Make small extractive question-answering readers by distillation, and use them.

The names below load on first use (PEP 562), so `import tinyreader` costs milliseconds and has no effects.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = (
    False  # known to type checkers by its name; `typing` itself is not needed to import this package
)
if TYPE_CHECKING:
    from tinyreader.data import Answer, Example
    from tinyreader.errors import TinyreaderError
    from tinyreader.reader import Document, Question, Reader, Reading

    __version__: str

__all__ = ["Answer", "Document", "Example", "Question", "Reader", "Reading", "TinyreaderError", "__version__"]

_HOMES = {
    "Answer": "tinyreader.data",
    "Document": "tinyreader.reader",
    "Example": "tinyreader.data",
    "Question": "tinyreader.reader",
    "Reader": "tinyreader.reader",
    "Reading": "tinyreader.reader",
    "TinyreaderError": "tinyreader.errors",
}


def __getattr__(name: str) -> object:
    """The public name, from its home; the version, from the installed package's metadata."""
    if name == "__version__":
        value: object = import_module("importlib.metadata").version("tinyreader")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'tinyreader' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The module's names, those not loaded yet among them."""
    return sorted({*globals(), *__all__})
