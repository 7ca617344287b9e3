"""Tokenizers: built from every kind of vocabulary as Transformers builds them, compared, written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer, BertTokenizerFast, MPNetTokenizerFast, RobertaTokenizerFast

from tiny_models import BERT_VOCABULARY, write_byte_level_bpe, write_vocabulary
from tinyreader.errors import ModelError
from tinyreader.tokenizer import load_tokenizer, special_tokens, tokenizer_difference, tokenizer_files

TEXTS = ("The bridges, built in THE", "Zoë built 東京 ?", "a​b\tc  x", "", "🌉 who [MASK] was", "naïve")


def set_json(path: Path, **values: object) -> None:
    """Write values as a JSON file."""
    path.write_text(json.dumps(values), encoding="utf-8")


def assert_equal_encodings(ours: Tokenizer, theirs: AutoTokenizer) -> None:
    """Ids, offsets and segment ids of pairs are the same for both."""
    for text in TEXTS:
        got = ours.encode(text, "the bridge.")
        want = theirs._tokenizer.encode(text, "the bridge.")
        assert (got.ids, got.offsets, got.type_ids) == (want.ids, want.offsets, want.type_ids), text


@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_from_vocab_txt_is_berts(tmp_path: Path, lower: bool) -> None:
    """`vocab.txt` with `do_lower_case` gives what Transformers' BertTokenizerFast gives."""
    write_vocabulary(tmp_path)
    set_json(tmp_path / "tokenizer_config.json", do_lower_case=lower)
    theirs = BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"), do_lower_case=lower)
    assert_equal_encodings(load_tokenizer(tmp_path), theirs)


def test_wordpiece_with_angle_brackets_is_mpnets(tmp_path: Path) -> None:
    """`vocab.txt` with `<s>` gives MPNet's pair template."""
    write_vocabulary(tmp_path, "mpnet")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("the", "bridge").tokens == ["<s>", "the", "</s>", "</s>", "bridge", "</s>"]
    theirs = MPNetTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
    for text in TEXTS:
        assert tokenizer.encode(text, "the bridge.").ids == theirs(text, "the bridge.")["input_ids"]


def test_case_follows_the_vocabulary_where_nothing_is_said(tmp_path: Path) -> None:
    """Without `do_lower_case` text is lower-cased exactly when the vocabulary has no capital letters."""
    write_vocabulary(tmp_path)
    assert "the" in load_tokenizer(tmp_path).encode("THE").tokens
    with (tmp_path / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("THE\n")
    assert "THE" in load_tokenizer(tmp_path).encode("THE").tokens


@pytest.mark.parametrize("spaced", [True, False])
def test_byte_level_bpe_from_vocab_and_merges_is_robertas(tmp_path: Path, spaced: bool) -> None:
    """`vocab.json` and `merges.txt` give what Transformers' RobertaTokenizerFast gives."""
    write_byte_level_bpe(tmp_path)
    set_json(tmp_path / "tokenizer_config.json", add_prefix_space=spaced)
    theirs = RobertaTokenizerFast(
        vocab=str(tmp_path / "vocab.json"), merges=str(tmp_path / "merges.txt"), add_prefix_space=spaced
    )
    assert_equal_encodings(load_tokenizer(tmp_path), theirs)


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend", None])
def test_a_class_that_fits_any_kind_leaves_it_to_the_models_type(tmp_path: Path, name: str | None) -> None:
    """Transformers names generic classes beside a tokenizer.json; where that is gone, config.json says what
    the model reads.
    """
    write_vocabulary(tmp_path)
    plain = load_tokenizer(tmp_path).to_str()
    set_json(tmp_path / "tokenizer_config.json", tokenizer_class=name)
    assert load_tokenizer(tmp_path).to_str() == plain  # no config.json: the vocabulary alone says it
    for model_type in ("bert", "mobilebert"):
        set_json(tmp_path / "config.json", model_type=model_type)
        assert load_tokenizer(tmp_path).to_str() == plain
    if name is not None:
        set_json(tmp_path / "config.json", model_type="roformer")
        with pytest.raises(ModelError, match="the tokenizer of a model of type 'roformer' cannot be built"):
            load_tokenizer(tmp_path)


def test_the_class_may_stand_in_the_models_configuration(tmp_path: Path) -> None:
    """Older models name it in config.json; it counts as well."""
    write_vocabulary(tmp_path)
    set_json(tmp_path / "config.json", model_type="bert", tokenizer_class="BertJapaneseTokenizer")
    with pytest.raises(ModelError, match="BertJapaneseTokenizer cannot be built"):
        load_tokenizer(tmp_path)


def test_truncation_and_padding_of_a_file_are_switched_off(tmp_path: Path) -> None:
    """What a tokenizer.json says about truncation and padding does not apply."""
    tokenizer = write_vocabulary(tmp_path)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=30)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(load_tokenizer(tmp_path).encode("the bridge was built in a").ids) == 8


def test_special_tokens_of_the_directory_are_used(tmp_path: Path) -> None:
    """Names in special_tokens_map.json stand in for the usual ones, as text or as an object."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[START]", "[END]", "the"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    set_json(tmp_path / "special_tokens_map.json", cls_token="[START]", sep_token={"content": "[END]"})
    assert load_tokenizer(tmp_path).encode("the").tokens == ["[START]", "the", "[END]"]


def test_added_tokens_get_their_ids(tmp_path: Path) -> None:
    """Tokens of added_tokens.json follow the vocabulary; an id that cannot be is refused."""
    write_vocabulary(tmp_path)
    n = len(BERT_VOCABULARY)
    set_json(tmp_path / "added_tokens.json", **{"<two>": n + 1, "<one>": n})
    assert load_tokenizer(tmp_path).encode("the <two> <one>", add_special_tokens=False).ids[1:] == [n + 1, n]
    set_json(tmp_path / "added_tokens.json", **{"<far>": n + 7})
    with pytest.raises(ModelError, match="<far>"):
        load_tokenizer(tmp_path)


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    """No files, a broken file, a vocabulary of another kind, and one without special tokens are clear
    errors.
    """
    with pytest.raises(ModelError, match="no tokenizer that can be used"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("the\nbridge\n", encoding="utf-8")
    with pytest.raises(ModelError, match="lacks '<s>'"):
        load_tokenizer(tmp_path)
    set_json(tmp_path / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")
    with pytest.raises(ModelError, match="BertJapaneseTokenizer cannot be built"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelError, match="should hold a JSON object"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_special_tokens_is_refused(tmp_path: Path) -> None:
    """A tokenizer that puts nothing around a text leaves no place to say 'no answer'."""
    tokenizer = write_vocabulary(tmp_path)
    tokenizer.post_processor = processors.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="adds no special tokens"):
        load_tokenizer(tmp_path)


def test_tokenizers_equal_in_effect_do_not_differ(tmp_path: Path) -> None:
    """Files written in different ways, with or without truncation, are the same when every text gets the same
    ids.
    """
    built = write_vocabulary(tmp_path)
    other = write_vocabulary(tmp_path)
    other.enable_truncation(5)
    other.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    assert not tokenizer_difference(built, other)


def test_what_differs_between_tokenizers_is_named(tmp_path: Path) -> None:
    """Another vocabulary, another case or another template are told apart and named."""
    bert = write_vocabulary(tmp_path / "bert")
    mpnet = write_vocabulary(tmp_path / "mpnet", "mpnet")
    assert re.search(r"tokens, \d+ of them unequal, such as '", tokenizer_difference(bert, mpnet))
    set_json(tmp_path / "bert" / "tokenizer_config.json", do_lower_case=False)
    assert tokenizer_difference(bert, load_tokenizer(tmp_path / "bert")).startswith("normaliser is")
    other = write_vocabulary(tmp_path / "other")
    other.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    assert tokenizer_difference(bert, other).startswith("pair template is")


def test_special_tokens_are_read_off_the_tokenizer(tmp_path: Path) -> None:
    """Roles are found from what the tokenizer does; the padding token from the model's id where there is
    one.
    """
    mpnet = special_tokens(write_vocabulary(tmp_path, "mpnet"))
    assert (mpnet["cls_token"], mpnet["sep_token"], mpnet["pad_token"]) == ("<s>", "</s>", "<pad>")
    assert (mpnet["unk_token"], mpnet["mask_token"]) == ("[UNK]", "<mask>")
    assert special_tokens(write_vocabulary(tmp_path), pad_id=4)["pad_token"] == "[MASK]"


@pytest.mark.parametrize("kind", ["bert", "mpnet", "bpe"])
def test_written_files_give_the_same_tokenizer_back(tmp_path: Path, kind: str) -> None:
    """Transformers' AutoTokenizer and ours read the same tokenizer from the files; vocab.txt alone is enough
    for ours.
    """
    if kind == "bpe":
        write_byte_level_bpe(tmp_path / "in")
    else:
        write_vocabulary(tmp_path / "in", kind)
    tokenizer = load_tokenizer(tmp_path / "in")
    (tmp_path / "out").mkdir()
    for name, text in tokenizer_files(tokenizer, takes_segments=kind == "bert", max_tokens=64).items():
        (tmp_path / "out" / name).write_text(text, encoding="utf-8")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs.model_max_length == 64
    assert ("token_type_ids" in theirs("the", "bridge")) == (kind == "bert")
    assert theirs.pad_token == special_tokens(tokenizer)["pad_token"]
    assert_equal_encodings(tokenizer, theirs)
    assert not tokenizer_difference(tokenizer, load_tokenizer(tmp_path / "out"))
    if kind != "bpe":
        (tmp_path / "out" / "tokenizer.json").unlink()
        (tmp_path / "out" / "tokenizer_config.json").unlink()
        assert not tokenizer_difference(tokenizer, load_tokenizer(tmp_path / "out"))
