"""Tokenizers of every supported kind, trained on a handful of sentences when a test asks for one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = (
    "The ferry at Lenn carries forty people and leaves twice a day.",
    "Who built the mill at Orrin Weir? It was built by Tobe Harl in 1811.",
    "Café Ünal sells naïve jam; the crème is free on Mondays.",
    "東京の橋は一八九〇年に架けられた。北京的桥很旧。",
    "بنى يوسف الجسر القديم في المدينة.",
    "הגשר נבנה על ידי נועם בשנת 1920.",
    "पुल मोहन ने बनाया था।",
)
BRACKETS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ANGLES = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def wordpiece() -> Tokenizer:
    """As BERT's: lower case, accents gone, segment 1 for the context."""
    return _trained(_wordpiece, BRACKETS, _bert_template)


def mpnet() -> Tokenizer:
    """As MPNet's: WordPiece with `<s> question </s></s> context </s>` and one segment."""
    return _trained(_wordpiece, ANGLES, _roberta_template)


def byte_level() -> Tokenizer:
    """As RoBERTa's: byte-level BPE whose offsets come trimmed."""
    return _trained(_byte_level, ANGLES, _roberta_template)


def untrimmed_byte_level() -> Tokenizer:
    """Byte-level BPE under a plain template, so that offsets hold the space before each word."""
    return _trained(_byte_level, BRACKETS, _bert_template)


def unigram() -> Tokenizer:
    """As XLM-R's: Unigram behind Metaspace, offsets with spaces, `</s></s>` between and one segment."""
    return _trained(_unigram, ANGLES, _xlmr_template)


def metaspace_bpe() -> Tokenizer:
    """As SentencePiece's BPE: Metaspace, unknown signs as bytes."""
    return _trained(_metaspace_bpe, BRACKETS, _bert_template)


def words(n: int = 40) -> Tokenizer:
    """One token a word `w0` ... `w{n-1}`, so that a test can count tokens; `[CLS] question [SEP] context
    [SEP]`.
    """
    vocabulary = {token: i for i, token in enumerate((*BRACKETS, *(f"w{i}" for i in range(n))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(BRACKETS))
    tokenizer.post_processor = _bert_template(tokenizer)
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": wordpiece,
    "mpnet": mpnet,
    "byte-level": byte_level,
    "untrimmed-byte-level": untrimmed_byte_level,
    "unigram": unigram,
    "metaspace-bpe": metaspace_bpe,
}


def _trained(
    kind: Callable[[list[str]], Tokenizer], special: tuple[str, ...], template: Callable[[Tokenizer], object]
) -> Tokenizer:
    """A fresh copy, since tests change truncation and padding."""
    return Tokenizer.from_str(_trained_once(kind, special, template))


@cache
def _trained_once(
    kind: Callable[[list[str]], Tokenizer], special: tuple[str, ...], template: Callable[[Tokenizer], object]
) -> str:
    tokenizer = kind(list(special))
    tokenizer.post_processor = template(tokenizer)
    return tokenizer.to_str()


def _wordpiece(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=special[1] if special[1] == "[UNK]" else special[3]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _byte_level(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _unigram(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=220, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _metaspace_bpe(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    every_byte = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[*special, *every_byte], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _bert_template(tokenizer: Tokenizer) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )


def _roberta_template(tokenizer: Tokenizer) -> processors.RobertaProcessing:
    sep, cls = (("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))
    return processors.RobertaProcessing(sep, cls, trim_offsets=True, add_prefix_space=False)


def _xlmr_template(tokenizer: Tokenizer) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
