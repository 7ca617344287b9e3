"""Tokenizers: loaded from whatever a model directory has, compared, written so that Transformers loads them.

Only the `tokenizers` package is needed. Truncation and padding that came with a file are switched off: how
texts are cut is this project's own decision (`windows.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from tinyreader.errors import ModelError
from tinyreader.storage import read_object_if_any

WRITE_ONE = "Transformers writes tokenizer.json: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
WORDPIECE_KINDS = {
    "bert",
    "distilbert",
    "electra",
    "mpnet",
    "mobilebert",
    "squeezebert",
    "convbert",
    "layoutlm",
}
BPE_KINDS = {"roberta", "longformer"}
GENERIC_CLASSES = {"PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend", "AutoTokenizer"}
"""Names of tokenizer classes that fit any kind: Transformers 4 or 5 writes them for a tokenizer.json."""

ROLES = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token")
BRACKETS = dict(zip(ROLES, ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"), strict=True))
ANGLES = dict(zip(ROLES, ("<s>", "</s>", "<pad>", "<unk>", "<mask>"), strict=True))


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """The tokenizer in a directory: from `tokenizer.json`, or built from `vocab.txt` or `vocab.json` +
    `merges.txt`.
    """
    directory = Path(directory)
    try:
        tokenizer = _load(directory)
    except ModelError:
        raise
    except Exception as error:  # the tokenizers package raises nothing more special
        raise ModelError(f"the tokenizer in {directory} cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if not tokenizer.encode("", add_special_tokens=True).ids:
        raise ModelError(
            f"the tokenizer in {directory} adds no special tokens; a reader gives 'no answer' at the first"
        )
    return tokenizer


def _load(directory: Path) -> Tokenizer:
    if (directory / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(directory / "tokenizer.json"))
    sources = (directory / "special_tokens_map.json", directory / "tokenizer_config.json")
    settings = {
        key: value for path in sources for key, value in (read_object_if_any(path, ModelError) or {}).items()
    }
    if (directory / "vocab.txt").is_file() and not (directory / "bpe.codes").is_file():
        _check_kind(directory, settings, WORDPIECE_KINDS)
        return _wordpiece(directory, settings)
    if (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
        _check_kind(directory, settings, BPE_KINDS)
        return _byte_level_bpe(directory, settings)
    raise ModelError(
        f"{directory} has no tokenizer that can be used: it needs tokenizer.json, or vocab.txt (WordPiece), "
        "or "
        f"vocab.json and merges.txt (byte-level BPE). {WRITE_ONE}"
    )


def _check_kind(directory: Path, settings: Mapping[str, Any], known: set[str]) -> None:
    """Refuse vocabularies that belong to another kind of tokenizer than their file names suggest.

    The kind is that of the tokenizer's class or, where that fits any, of the model's type; where neither is
    said, the vocabulary alone counts.
    """
    path = directory / "config.json"
    config = read_object_if_any(path, ModelError) or {}
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    what = f"a {name}"
    if str(name) in GENERIC_CLASSES:
        name = config.get("model_type")
        what = f"the tokenizer of a model of type {name!r}"
    if name is None:
        return
    kind = str(name).removesuffix("Fast").removesuffix("Tokenizer").replace("-", "").lower()
    if kind not in known:
        raise ModelError(
            f"{directory} has no tokenizer.json, and {what} cannot be built from its vocabulary alone. "
            f"{WRITE_ONE}"
        )


def _wordpiece(directory: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """BERT's tokenizer, or MPNet's where the vocabulary has its special tokens."""
    vocab = models.WordPiece.read_file(str(directory / "vocab.txt"))
    is_bert = BRACKETS["cls_token"] in vocab
    special = _special(directory, vocab, settings, BRACKETS if is_bert else ANGLES | {"unk_token": "[UNK]"})
    tokenizer = Tokenizer(
        models.WordPiece(vocab, unk_token=special["unk_token"], max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", _is_lower_case(vocab)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    cls, sep = special["cls_token"], special["sep_token"]
    between = f"{sep}:0" if is_bert else f"{sep}:0 {sep}:0"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {between} $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    return _with_added_tokens(directory, tokenizer, special)


def _byte_level_bpe(directory: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """RoBERTa's tokenizer."""
    vocab, merges = models.BPE.read_file(str(directory / "vocab.json"), str(directory / "merges.txt"))
    special = _special(directory, vocab, settings, ANGLES)
    spaced = bool(settings.get("add_prefix_space", False))
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    tokenizer.decoder = decoders.ByteLevel()
    cls, sep = special["cls_token"], special["sep_token"]
    tokenizer.post_processor = processors.RobertaProcessing(
        (sep, vocab[sep]), (cls, vocab[cls]), True, spaced
    )
    return _with_added_tokens(directory, tokenizer, special)


def _special(
    directory: Path, vocab: Mapping[str, int], settings: Mapping[str, Any], usual: Mapping[str, str]
) -> dict[str, str]:
    """The special tokens by role: as the directory's settings say, else the usual ones; all are in the
    vocabulary.
    """
    found = {}
    for role, name in usual.items():
        token = settings.get(role, name)
        found[role] = str(token["content"] if isinstance(token, dict) else token)
    for role in ("cls_token", "sep_token", "unk_token", "pad_token"):
        if found[role] not in vocab:
            raise ModelError(
                f"the vocabulary in {directory} lacks {found[role]!r}, its {role}: is it of another kind?"
            )
    return {role: token for role, token in found.items() if token in vocab}


def _with_added_tokens(directory: Path, tokenizer: Tokenizer, special: Mapping[str, str]) -> Tokenizer:
    """The tokenizer with its special tokens marked and those of `added_tokens.json` at their ids."""
    tokenizer.add_special_tokens(list(special.values()))
    extra = directory / "added_tokens.json"
    for token, number in sorted(
        (read_object_if_any(extra, ModelError) or {}).items(), key=lambda item: item[1]
    ):
        tokenizer.add_tokens([token])
        if tokenizer.token_to_id(token) != number:
            raise ModelError(f"{extra}: {token!r} should have id {number}, but the next free one is not that")
    return tokenizer


def _is_lower_case(vocab: Mapping[str, int]) -> bool:
    """Whether no ordinary word piece has a capital letter."""
    return all(token == token.lower() for token in vocab if not token.startswith(("[", "<")))


def tokenizer_difference(teacher: Tokenizer, student: Tokenizer) -> str:
    """What differs between the two; nothing where both cut every text into the same tokens with the same
    ids.
    """
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    if ours != theirs:
        unequal = sorted(
            token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token)
        )
        token = unequal[0]
        return (
            f"{len(theirs)} and {len(ours)} tokens, {len(unequal)} of them unequal, such as {token!r} "
            f"(id {theirs.get(token, 'none')} at the teacher, {ours.get(token, 'none')} at the student)"
        )
    a, b = _essence(teacher), _essence(student)
    for part, value in a.items():
        if value != b[part]:
            return f"{part} is {_short(value)} at the teacher, {_short(b[part])} at the student"
    return ""


def _essence(tokenizer: Tokenizer) -> dict[str, Any]:
    """What decides how text becomes ids, in a form that is equal where the effect is."""
    content = json.loads(tokenizer.to_str())
    normalizer, pre = content["normalizer"], content["pre_tokenizer"]
    if normalizer and normalizer["type"] == "BertNormalizer" and normalizer["strip_accents"] is None:
        normalizer["strip_accents"] = normalizer["lowercase"]
    if pre and pre["type"] == "ByteLevel":
        del pre["trim_offsets"]  # moves offsets, not ids
    model = {
        key: value for key, value in content["model"].items() if key not in ("vocab", "unk_id", "dropout")
    }
    pair = tokenizer.encode(
        "a", "b"
    )  # compared by effect, as the same template can be written in several ways
    return {
        "normaliser": normalizer,
        "pre-tokenizer": pre,
        "model": model,
        "special tokens": sorted(token["content"] for token in content["added_tokens"] if token["special"]),
        "pair template": [list(part) for part in zip(pair.tokens, pair.type_ids, strict=True)],
    }


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else text[:157] + "..."


def special_tokens(tokenizer: Tokenizer, pad_id: int | None = None) -> dict[str, str]:
    """The special tokens by role (`cls_token`, ...), read off what the tokenizer does; `pad_id` is the
    model's own.
    """
    around = tokenizer.encode("", add_special_tokens=True).tokens
    found = {"cls_token": around[0], "sep_token": around[-1]}
    known = tokenizer.get_vocab()
    families = sorted((BRACKETS, ANGLES), key=lambda family: family["cls_token"] != around[0])
    for role in ("pad_token", "unk_token", "mask_token"):
        names = [family[role] for family in families if family[role] in known]
        if names:
            found[role] = names[0]
    if pad_id is not None and (token := tokenizer.id_to_token(pad_id)) is not None:
        found["pad_token"] = token
    if unknown := getattr(tokenizer.model, "unk_token", None):
        found["unk_token"] = unknown
    return found


def tokenizer_files(
    tokenizer: Tokenizer, *, takes_segments: bool, max_tokens: int | None = None, pad_id: int | None = None
) -> dict[str, str]:
    """The files, name to text, from which Transformers' AutoTokenizer makes this same tokenizer.

    `takes_segments` says whether the model distinguishes question and context by segment ids, `max_tokens`
    how long its inputs may be.
    """
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    special = special_tokens(plain, pad_id)
    settings: dict[str, Any] = {
        # takes tokenizer.json as it is, in Transformers 4 and 5
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", *(["token_type_ids"] if takes_segments else []), "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
        "truncation_side": "right",
        **special,
    }
    if max_tokens is not None:
        settings["model_max_length"] = max_tokens
    files = {
        "tokenizer.json": plain.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(settings, indent=2, ensure_ascii=False) + "\n",
        "special_tokens_map.json": json.dumps(special, indent=2, ensure_ascii=False) + "\n",
    }
    if isinstance(plain.model, models.WordPiece):
        vocab = plain.get_vocab(with_added_tokens=False)
        files["vocab.txt"] = "".join(f"{token}\n" for token in sorted(vocab, key=vocab.__getitem__))
    return files
