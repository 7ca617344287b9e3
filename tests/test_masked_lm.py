"""Masked language models: loaded whole or refused, asked at the masked places only, and proposing words that
fit there.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForMaskedLM

from tiny_models import FAMILIES, masked_lm, write_masked_lm, write_reader
from tiny_tokenizers import SENTENCES, byte_level, metaspace_bpe, mpnet, untrimmed_byte_level, wordpiece
from tinyreader.augment.masked_lm import MaskedLM
from tinyreader.augment.masking import MaskedBatcher, MaskedLMOptions, MaskedSequences, read_vocabulary
from tinyreader.augment.proposer import Passage
from tinyreader.augment.words import clean, find_words
from tinyreader.errors import ModelError
from tinyreader.models import LoadedMaskedLM, best_precision, load_masked_lm
from tinyreader.models.masked import LONGEST

CPU = torch.device("cpu")
TOKENIZERS = {
    "bert": wordpiece,
    "electra": wordpiece,
    "distilbert": wordpiece,
    "mpnet": mpnet,
    "roberta": byte_level,
    "modernbert": untrimmed_byte_level,
    "deberta-v2": metaspace_bpe,
}
assert TOKENIZERS.keys() == FAMILIES.keys()
TEXT = "The mill at Lenn was built by Tobe in 1811, and the ferry leaves twice a day on Mondays."


def passage(text: str = TEXT) -> Passage:
    """A text with all its words as places."""
    return Passage(text, find_words(text))


def loaded(family: str = "bert", tokenizer: Tokenizer | None = None, **changes: Any) -> LoadedMaskedLM:
    """A tiny random masked language model in memory, with its family's kind of tokenizer."""
    tokenizer = tokenizer or TOKENIZERS[family]()
    mask = tokenizer.token_to_id("[MASK]") or tokenizer.token_to_id("<mask>")
    model = masked_lm(family, tokenizer.get_vocab_size() + 3, **changes)
    limit = 62 if family in ("roberta", "mpnet") else 64
    return LoadedMaskedLM(model, tokenizer, Path(), mask, int(model.config.pad_token_id), limit)


def proposer(of: LoadedMaskedLM | None = None, **options: Any) -> MaskedLM:
    """A proposer on the CPU with a copy of the model, at fp32 unless asked for otherwise; there are no files
    to fingerprint.
    """
    of = of or loaded()
    of = replace(of, model=copy.deepcopy(of.model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyreader.augment.masked_lm.model_fingerprint", str)
        return MaskedLM(of, MaskedLMOptions(**{"precision": "fp32", **options}), device=CPU)


def questions(of: MaskedLM, text: str = TEXT) -> MaskedSequences:
    """What a proposer asks its model about a text."""
    [asked] = of._batcher.masked([passage(text)])
    return asked


@torch.no_grad()
def all_scores(of: Any, asked: MaskedSequences) -> Tensor:
    """The scores at the masked places by Transformers' own forward pass, head at every position."""
    ids = torch.from_numpy(asked.sequences)
    mask = torch.zeros_like(ids)
    mask[:, : asked.length] = 1
    return of(input_ids=ids, attention_mask=mask).logits[asked.rows, asked.columns]


def rewrite_config(directory: Path, **changes: object) -> None:
    """Change values of a directory's config.json; None takes a key out."""
    path = directory / "config.json"
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


def rewrite_weights(directory: Path, change: Any) -> None:
    """Replace a directory's weights by what `change` makes of them."""
    save_file(change(load_file(directory / "model.safetensors")), directory / "model.safetensors")


def logits(model: Any) -> Tensor:
    """Scores on fixed inputs."""
    ids = torch.randint(5, 20, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(input_ids=ids).logits


# Loading


@pytest.mark.parametrize("family", FAMILIES)
def test_loaded_models_are_those_of_transformers(tmp_path: Path, family: str) -> None:
    """A directory as Transformers writes it, without the tied matrix, gives the same fp32 model here as
    there.
    """
    directory = write_masked_lm(tmp_path / "lm", family, TOKENIZERS[family]())
    found = load_masked_lm(directory)
    theirs = AutoModelForMaskedLM.from_pretrained(directory)
    assert torch.equal(logits(found.model), logits(theirs))
    assert len(load_file(directory / "model.safetensors")) < len(theirs.state_dict())
    assert not found.model.training
    assert found.source == directory
    assert found.tokenizer.id_to_token(found.mask_id) in ("[MASK]", "<mask>")
    assert found.pad_id == theirs.config.pad_token_id
    assert found.max_tokens == (62 if family in ("roberta", "mpnet") else 64)


def old_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """BERT's names as first converted: gamma and beta, the last bias beside the decoder, the other
    pre-training head.
    """
    kept = {name: tensor for name, tensor in weights.items() if "decoder" not in name}
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in kept.items()
    }
    return renamed | {
        "cls.seq_relationship.weight": torch.zeros(2, 32),
        "bert.pooler.dense.bias": torch.zeros(32),
    }


def later_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The last bias under its decoder's name only."""
    return {
        name.replace("predictions.bias", "predictions.decoder.bias"): tensor
        for name, tensor in weights.items()
    }


@pytest.mark.parametrize(
    "rename",
    [
        old_names,
        later_names,
        lambda weights: {f"module.{name}": tensor for name, tensor in weights.items()},
        lambda weights: {name.removeprefix("bert."): tensor for name, tensor in weights.items()},
        lambda w: w | {"cls.predictions.decoder.weight": w["bert.embeddings.word_embeddings.weight"].clone()},
    ],
    ids=["old", "later", "module", "bare", "tied-written-out"],
)
def test_names_of_other_times_are_understood(tmp_path: Path, rename: Any) -> None:
    """Old names, the bias under either name, other prefixes and tied weights written out give the same
    model.
    """
    directory = write_masked_lm(tmp_path / "lm")
    expected = logits(load_masked_lm(directory).model)
    rewrite_weights(directory, rename)
    assert torch.equal(logits(load_masked_lm(directory).model), expected)


@pytest.mark.parametrize("said", [True, False])
def test_a_matrix_of_the_heads_own_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, said: bool
) -> None:
    """A last matrix that is not the embeddings' stays its own, whether config.json says so or, with a
    warning, not.
    """
    directory = write_masked_lm(tmp_path / "lm")
    own = torch.randn(24, 32, generator=torch.Generator().manual_seed(1))
    rewrite_weights(directory, lambda w: w | {"cls.predictions.decoder.weight": own})
    if said:
        rewrite_config(directory, tie_word_embeddings=False)
    model = load_masked_lm(directory).model
    assert torch.equal(model.cls.predictions.decoder.weight, own)
    assert not torch.equal(model.bert.embeddings.word_embeddings.weight, own)
    assert ("cls.predictions.decoder.weight is not what config.json ties it to" in caplog.text) == (not said)
    assert (
        model.cls.predictions.decoder.bias.abs().max() > 0
    )  # the file has it under cls.predictions.bias only


def test_code_of_a_model_is_never_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`auto_map` is ignored with a warning."""
    directory = write_masked_lm(tmp_path / "lm")
    (directory / "own.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')", encoding="utf-8")
    rewrite_config(directory, auto_map={"AutoModelForMaskedLM": "own.Model"})
    load_masked_lm(directory)
    assert "auto_map" in caplog.text
    assert not (tmp_path / "sprung").exists()


def without_mask(directory: Path) -> None:
    """Call the mask something else."""
    path = directory / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("[MASK]", "[HIDE]"), encoding="utf-8")


def grow_vocabulary(directory: Path) -> None:
    """Give the tokenizer more tokens than the model has embeddings."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.add_tokens([f"new{n}" for n in range(30)])
    tokenizer.save(str(directory / "tokenizer.json"))


def lacking(part: str) -> Any:
    """A change that takes out the weights with this in their names."""
    return lambda d: rewrite_weights(d, lambda w: {name: t for name, t in w.items() if part not in name})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lacking("cls.predictions"),
            r"has no masked-LM head: it cannot propose words \(the weights lack cls.pred.* more\)",
        ),
        (lacking("transform.dense"), "has no masked-LM head"),
        (
            lacking("layer.1.attention"),
            "the weights lack bert.encoder.layer.1.attention.* more: they are not those",
        ),
        (
            lacking("word_embeddings"),
            "the weights lack bert.embeddings.word_embeddings.weight: they are not those",
        ),
        (without_mask, r"no mask token: a word cannot be hidden"),
        (grow_vocabulary, "ids up to 50, but the model embeds 24 tokens: they do not belong together"),
        (lambda d: rewrite_config(d, model_type="gpt2"), "'gpt2' is not an encoder with a masked-LM model"),
        (lambda d: rewrite_config(d, model_type="bart"), "'bart' is not an encoder"),
        (lambda d: rewrite_config(d, is_decoder=True), "'bert' is not an encoder"),
        (
            lambda d: rewrite_config(d, intermediate_size=64),
            r"has shape \(48, 32\), but config.json asks for \(64, 32\)",
        ),
        (
            lambda d: rewrite_weights(
                d, lambda w: w | {"cls.predictions.bias": torch.full((24,), torch.nan)}
            ),
            "cls.predictions.bias holds values that are not finite",
        ),
        (
            lambda d: rewrite_weights(
                d, lambda w: w | {"cls.predictions.decoder.weight": torch.zeros(9, 32)}
            ),
            r"decoder.weight has shape \(9, 32\)",
        ),
    ],
)
def test_what_cannot_propose_is_refused_with_the_reason(tmp_path: Path, damage: Any, said: str) -> None:
    """Each way in which a directory is no masked language model is one clear error."""
    directory = write_masked_lm(tmp_path / "lm")
    damage(directory)
    with pytest.raises(ModelError, match=said):
        load_masked_lm(directory)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reader_has_no_masked_lm_head(tmp_path: Path, family: str) -> None:
    """A question-answering model of any family is refused: no head is made up."""
    with pytest.raises(ModelError, match=r"has no masked-LM head: it cannot propose words"):
        load_masked_lm(write_reader(tmp_path, family))


def test_the_mask_is_what_the_settings_say(tmp_path: Path) -> None:
    """A mask token of another name is found in the directory's settings, in both ways of writing it."""
    directory = write_masked_lm(tmp_path / "lm")
    without_mask(directory)
    for said in ("[HIDE]", {"content": "[HIDE]", "lstrip": True}):
        (directory / "tokenizer_config.json").write_text(json.dumps({"mask_token": said}), encoding="utf-8")
        assert load_masked_lm(directory).mask_id == 4


def test_longer_inputs_than_usual_are_not_used(tmp_path: Path) -> None:
    """A model that takes thousands of tokens is given 512 at most."""
    directory = write_masked_lm(tmp_path / "lm", "modernbert", max_position_embeddings=8192)
    assert load_masked_lm(directory).max_tokens == LONGEST


# Scores


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_at_the_places_equal_the_full_forward(family: str) -> None:
    """The head on the masked places alone gives what Transformers' forward with the head everywhere gives, in
    fp32.
    """
    of = loaded(family)
    for options in ({}, {"exact": True}):
        own = proposer(of, **options)
        asked = questions(own)
        assert asked.length < asked.sequences.shape[1], "the test should see padding"
        assert len(asked.rows) >= 5
        torch.testing.assert_close(
            own._scorer.scores(asked), all_scores(of.model, asked), atol=2e-5, rtol=1e-5
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_scores_are_near_those_of_fp32(family: str) -> None:
    """Under bf16 the layers are bf16, embeddings and head fp32, and fp32 scores come out near the exact
    ones.
    """
    of = loaded(family)
    own = proposer(of, precision="bf16")
    asked = questions(own)
    scores, expected = own._scorer.scores(asked), all_scores(of.model, asked)
    assert scores.dtype == torch.float32
    assert float((scores - expected).norm()) < 0.05 * float(expected.norm())
    dtypes = {name: p.dtype for name, p in own._scorer.model.named_parameters()}
    base = of.model.base_model_prefix
    for name, dtype in dtypes.items():
        is_exact = not name.startswith(f"{base}.") or name.startswith(f"{base}.embeddings.")
        assert dtype == (torch.float32 if is_exact else torch.bfloat16), name
    assert any(dtype == torch.bfloat16 for dtype in dtypes.values())


def test_precision_is_the_best_here_unless_asked() -> None:
    """`auto` is what the device multiplies in hardware."""
    assert proposer(precision="auto").precision == best_precision(CPU)
    assert proposer(precision="bf16").precision == "bf16"
    assert proposer(precision="fp32").precision == "fp32"


def test_models_whose_head_mixes_places_are_refused() -> None:
    """A head that looks beside its place, or cannot be run so, is an error when the proposer is made."""
    of = loaded()
    of.model.cls.register_forward_pre_hook(lambda _, args: (args[0] + args[0].mean(1, keepdim=True),))
    with pytest.raises(
        ModelError,
        match=r"BertForMaskedLM cannot be used to propose words: its head does not treat positions",
    ):
        proposer(of)
    of = loaded()
    of.model.cls.predictions.decoder = torch.nn.Linear(9, 9)
    with pytest.raises(ModelError, match=r"BertForMaskedLM cannot be used to propose words: RuntimeError"):
        proposer(of)


# Proposals


@torch.no_grad()
def one_by_one(of: LoadedMaskedLM, text: str, n: int) -> dict[int, list[str]]:
    """What masking one word at a time gives, written plainly: the n best whole words for each place of one
    token.
    """
    vocabulary = read_vocabulary(of.tokenizer, of.model.config.vocab_size)
    # Only the choice of places is taken from what is tested here; test_masking.py looks at it.
    [asked] = MaskedBatcher(of.tokenizer, vocabulary, of.mask_id, of.pad_id, 64, MaskedLMOptions()).masked(
        [passage(text)]
    )
    whole = of.tokenizer.encode(text).ids
    found = {}
    for place, column, original in zip(asked.places, asked.columns, asked.originals, strict=True):
        ids = list(whole)
        assert ids[column] == original
        ids[column] = of.mask_id
        scores = of.model(input_ids=torch.tensor([ids])).logits[0, column]
        words: list[str] = []
        for number in scores.argsort(descending=True, stable=True).tolist():
            text_of = vocabulary.texts[number]
            known = {w.casefold() for w in words} | {vocabulary.texts[original].casefold()}
            if vocabulary.allowed[vocabulary.forms[original], number] and text_of.casefold() not in known:
                words.append(text_of)
        found[int(place)] = words[:n]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_exact_is_one_mask_a_word(family: str) -> None:
    """Exact proposals are those of masking one word at a time and reading the whole output; other places have
    none.
    """
    of = loaded(family)
    expected = one_by_one(of, TEXT, 7)
    [found] = proposer(of, exact=True, n_proposals=7)([passage()])
    assert len(expected) >= 5
    for place, words in enumerate(found):
        assert list(words) == expected.get(place, [])


def test_a_small_share_is_the_exact_way() -> None:
    """With so small a share that one word is masked at a time, the fast way gives the exact way's
    proposals.
    """
    of = loaded()
    exact, fast = (proposer(of, **o) for o in ({"exact": True}, {"masked_share": 0.01}))
    assert exact([passage()]) == fast([passage()])
    assert exact.counts == fast.counts


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_word_of_one_token_gets_its_proposals(family: str, exact: bool) -> None:
    """Each word of one token has as many proposals as asked for, all other words, and the counts say so."""
    own = proposer(loaded(family), exact=exact, n_proposals=4)
    asked = questions(own)
    [found] = own([passage()])
    words = passage().words
    assert {place for place, proposals in enumerate(found) if proposals} == set(asked.places)
    for place in asked.places:
        assert len(found[place]) == 4
        folded = [word.casefold() for word in found[place]]
        assert len(set(folded)) == 4
        assert words[place].casefold() not in folded
    assert own.counts.words == len(asked.places)
    assert own.counts.several_pieces == len(words) - len(asked.places)
    assert own.counts.sequences == len(asked.sequences)
    assert (len(asked.sequences) == len(asked.places)) == exact


def test_case_alone_makes_no_other_proposal() -> None:
    """Of words that differ in case alone the best one is proposed, so that cleaning leaves as many as were
    asked for.
    """
    of = loaded("deberta-v2")
    own = proposer(of, n_proposals=5)
    assert read_vocabulary(of.tokenizer, of.model.config.vocab_size).max_case_variants == 2
    text = " ".join([TEXT, *SENTENCES[:3]])[:120]
    [found] = own([passage(text)])
    for word, proposals in zip(passage(text).words, found, strict=True):
        folded = [proposal.casefold() for proposal in proposals]
        assert len(set(folded)) == len(folded) == (5 if proposals else 0)
        assert word.casefold() not in folded


def test_equal_scores_go_by_number() -> None:
    """Where the model finds all words alike, those with the smallest ids are proposed, in their order."""
    of = loaded(tie_word_embeddings=False)
    with torch.no_grad():
        of.model.cls.predictions.decoder.weight.zero_()
        of.model.cls.predictions.decoder.bias.zero_()
    vocabulary = read_vocabulary(of.tokenizer, of.model.config.vocab_size)
    own = proposer(of, n_proposals=6)
    [found] = own([passage("the mill was built")])
    assert [len(words) for words in found] == [6, 6, 6, 6]
    for word, words in zip(("the", "mill", "was", "built"), found, strict=True):
        first = [
            text
            for text, may in zip(vocabulary.texts, vocabulary.allowed[1], strict=True)
            if may and text != word
        ]
        assert list(words) == first[:6]


def test_a_small_vocabulary_gives_what_it_has() -> None:
    """More proposals asked for than there are words: all the words there are."""
    own = proposer(n_proposals=5000)
    [found] = own([passage("the mill")])
    n_words = int(own._vocabulary.allowed[1].sum())
    assert [len(words) for words in found] == [n_words - 1, n_words - 1]


# What depends on what


def test_a_passage_depends_on_no_other() -> None:
    """Proposals for a passage are the same alone, beside others and after them; bit for bit, so are its
    scores.
    """
    own = proposer()
    texts = [TEXT, "", "the mill was built", SENTENCES[1], "🙂"]
    together = own([passage(text) for text in texts])
    assert together == [own([passage(text)])[0] for text in texts]
    assert together[::-1] == own([passage(text) for text in texts[::-1]])
    asked = questions(own)
    before = own._scorer.scores(asked)
    own([passage(SENTENCES[0])])
    assert torch.equal(own._scorer.scores(asked), before)


@pytest.mark.parametrize("exact", [False, True])
def test_batches_change_no_more_than_rounding(exact: bool) -> None:
    """Scores are equal bit for bit where a passage is split alike, and within rounding errors however it is
    split.
    """
    of = loaded()
    whole = proposer(of, exact=exact)
    expected = whole._scorer.scores(questions(whole))
    for budget in (1, 40, 100, 4000):
        own = proposer(of, exact=exact, batch_tokens=budget)
        parts = list(questions(own).batches(budget))
        found = torch.cat([own._scorer.scores(part) for part in parts])
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
        again = torch.cat([own._scorer.scores(part) for part in parts])
        assert torch.equal(found, again)
        if len(parts) == 1:
            assert torch.equal(found, expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("exact", [False, True])
def test_long_passages_are_slid_over(family: str, exact: bool) -> None:
    """Every word of a text much longer than the model's input is proposed for, in inputs that the model can
    take.
    """
    of = loaded(family)
    own = proposer(of, exact=exact, n_proposals=2)
    text = " ".join([TEXT] * 12)
    assert len(of.tokenizer.encode(text).ids) > 3 * of.max_tokens
    asked = questions(own, text)
    [found] = own([passage(text)])
    assert asked.sequences.shape[1] <= of.max_tokens
    proposed = {place for place, words in enumerate(found) if words}
    once = {place for place, words in enumerate(own([passage()])[0]) if words}
    n_words = len(passage().words)
    assert {place for place in proposed if place < n_words} == once
    assert {
        place % n_words for place in proposed if place >= n_words
    } >= once  # after a blank the first word is known too


ODD_TEXTS = [
    "",
    " \n\t ",
    "🙂🙂 👩‍👩‍👧",
    "built 🙂 the 👩‍👩‍👧 mill",
    "the橋 was built בשנת 1920 بنى ый",
    "Cafe\u0301 \u00adjam\u200b \x00 the \ufeffday",
    "x" * 5000 + " the mill",
    "the\ud83dmill",
]


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
def test_odd_texts_are_no_obstacle(family: str, text: str) -> None:
    """Empty texts, emoji, mixed scripts, control signs and endless words give an answer for every place."""
    given = passage(text)
    [found] = proposer(loaded(family))([given])
    assert len(found) == len(given.places)


def test_no_places_cost_nothing() -> None:
    """A passage without places runs nothing."""
    own = proposer()
    assert own([Passage(TEXT, ()), Passage("", ())]) == [[], []]
    assert own([]) == []
    assert own.counts.sequences == own.counts.words == own.counts.several_pieces == 0


def test_accents_are_proposed_for_at_the_whole_word() -> None:
    """An uncased model proposes for "Café" where it stands, accent and all."""
    given = passage("the Café jam")
    [found] = proposer()([given])
    assert given.words[1] == "Café"
    assert len(found[1]) == 15
    assert "cafe" not in found[1]


# Identity


def test_the_fingerprint_is_that_of_all_that_matters(tmp_path: Path) -> None:
    """Model, tokenizer, options and precision make the fingerprint; where the directory stands does not."""
    one, two = (write_masked_lm(tmp_path / name) for name in ("one", "two"))
    other = write_masked_lm(tmp_path / "other", seed=1)

    def of(directory: Path, **options: Any) -> str:
        return MaskedLM.from_pretrained(directory, device=CPU, **{"precision": "fp32", **options}).fingerprint

    same = of(one)
    assert of(two) == same
    changed = [
        of(other),
        of(one, n_proposals=3),
        of(one, exact=True),
        of(one, masked_share=0.3),
        of(one, batch_tokens=99),
        of(one, precision="bf16"),
    ]
    assert len({same, *changed}) == 7
    assert of(one, exact=True, masked_share=0.3) == of(one, exact=True)
    assert of(one, precision="auto") == of(one, precision=best_precision(CPU))
    path = two / "tokenizer.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"lowercase": true', '"lowercase": false'), encoding="utf-8"
    )
    assert of(two) != same


# A trained model


@pytest.fixture(scope="session")
def real(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedMaskedLM:
    """The trained masked language model of the development data."""
    script = shared_dir / "models" / "get.py"
    if not (shared_dir / "models" / "mlm").is_dir():
        pytest.skip("needs ../shared/models/mlm")
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, str(script), str(folder), "mlm"], check=True, capture_output=True)
    return load_masked_lm(folder / "mlm")


BRIDGE = "The bridge was built in 1911."


def test_a_trained_model_proposes_what_fits(real: LoadedMaskedLM) -> None:
    """For the words of a plain sentence other words of their kind are proposed."""
    buildings = {
        "church",
        "house",
        "castle",
        "building",
        "tower",
        "station",
        "cathedral",
        "palace",
        "school",
        "hotel",
    }
    deeds = {
        "constructed",
        "opened",
        "completed",
        "erected",
        "established",
        "founded",
        "demolished",
        "created",
    }
    for exact in (False, True):
        own = proposer(real, exact=exact)
        [found] = own([passage(BRIDGE)])
        by_word = dict(zip(passage(BRIDGE).words, found, strict=True))
        assert all(len(words) == 15 for words in found)
        assert len(buildings & set(by_word["bridge"])) >= 3
        assert len(deeds & set(by_word["built"])) >= 3
        assert {"is", "were"} & set(by_word["was"])
        assert all(len(clean(word, words, 15)) <= 15 for word, words in by_word.items())


def test_both_ways_mostly_agree_on_a_trained_model(real: LoadedMaskedLM) -> None:
    """On a longer text, fast and exact proposals of a trained model share most of their words."""
    text = (
        "The bridge was built in 1911 by the city, after the old ferry had been closed. It carried people "
        "and goods across "
        "the river for fifty years, until a larger one was opened in the north of the town."
    )
    given = passage(text)
    fast, exact = (proposer(real, exact=e)([given])[0] for e in (False, True))
    shares = [len(set(a) & set(b)) / 15 for a, b in zip(fast, exact, strict=True) if a]
    assert len(shares) == sum(map(bool, exact)) > 30
    assert np.mean(shares) > 0.6
