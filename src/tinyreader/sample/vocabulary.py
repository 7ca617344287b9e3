"""A WordPiece tokenizer learned from examples, laid out as BERT's."""
from __future__ import annotations
from collections.abc import Iterable
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tinyreader.data.example import Example

def tokenizer(examples: Iterable[Example], vocab_size: int, lowercase: bool = False) -> Tokenizer:
    texts = sorted({e.context for e in examples}) + sorted({e.question for e in examples})
    built = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    built.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece()
    tr = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=["[PAD]","[UNK]","[CLS]","[SEP]","[MASK]"], show_progress=False)
    built.train_from_iterator(texts, tr)
    built.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return built
