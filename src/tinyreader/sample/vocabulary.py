"""A WordPiece tokenizer learned from examples, laid out as BERT's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tinyreader.data.example import Example

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tokenizer(examples: Iterable[Example], vocab_size: int) -> Tokenizer:
    """A cased WordPiece tokenizer of at most `vocab_size` pieces, the same ones for the same examples.

    A question and a context become [CLS] question [SEP] context [SEP] with segment ids 0 and 1. Every letter of the
    examples is a piece of its own too, so that words of these letters never become [UNK].
    """
    pieces = _pieces(examples, vocab_size - len(SPECIAL_TOKENS))
    vocab = {piece: index for index, piece in enumerate((*SPECIAL_TOKENS, *pieces))}
    built = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    built.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece()
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    built.add_special_tokens(list(SPECIAL_TOKENS))
    return built


def _pieces(examples: Iterable[Example], n: int) -> list[str]:
    """The letters, then the most frequent pieces of words; those that do not begin a word have ## in front.

    The words are cut by byte-pair encoding. The package's own WordPiece trainer breaks ties by the order of a hash map:
    each run would learn another vocabulary.
    """
    texts = list(dict.fromkeys(text for example in examples for text in (example.question, example.context)))
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pairs.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=n, show_progress=False))
    counts: Counter[str] = Counter()
    for encoding in pairs.encode_batch(texts):
        words = encoding.word_ids
        counts.update(
            token if word != before else f"##{token}"
            for token, word, before in zip(encoding.tokens, words, [None, *words], strict=False)
        )
    letters = sorted(token for token in pairs.get_vocab() if len(token) == 1)
    always = [*letters, *(f"##{letter}" for letter in letters)]
    frequent = sorted(counts.keys() - set(always), key=lambda piece: (-counts[piece], piece))
    return [*always, *frequent][:n]
