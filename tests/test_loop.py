"""`distil.loop`: what is learned does not depend on how a step is cut up, nor on how often a run was
stopped.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from pydantic import TypeAdapter
from torch import Tensor, nn

from tiny_batches import CPU, batch, label_windows, model, network, store
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.evaluate import NetworkRuntime
from tinyreader.distil.features import FeatureStore
from tinyreader.distil.loop import StageJob, StageTrainer, n_steps
from tinyreader.distil.network import Batch, Network, Precision
from tinyreader.distil.objectives import Compared, Intermediate, Labels, Objective, Prediction, Term, Totals
from tinyreader.distil.runlog import RunLog
from tinyreader.distil.settings import LabelsStage, Stage, TrainingSettings
from tinyreader.errors import Interrupted, RunError
from tinyreader.progress import Progress, StopSwitch

LENGTHS = [9, 14, 11, 7, 16, 8, 12, 10, 15, 13, 9, 6]
KINDS = ["labels", "prediction", "intermediate"]


@dataclass
class Bench:
    """A place to train in: windows, a teacher, and trainers made afresh as a new process would make them."""

    folder: Path
    store: FeatureStore
    teacher: Network
    kind: str = "labels"
    precision: Precision = "fp32"
    width: int = 32
    n_layers: int = 2
    student_seed: int = 3

    def trainer(
        self,
        name: str = "run",
        *,
        wrap: Callable[[Objective], Objective] = lambda o: o,
        stop: StopSwitch | None = None,
        training: dict[str, Any] | None = None,
        **settings: Any,
    ) -> StageTrainer:
        """A trainer of a new student in the directory `name`."""
        evaluate = settings.pop("evaluate", None)
        job_settings = {k: settings.pop(k) for k in ("evaluate_every", "choose_best") if k in settings}
        options: dict[str, Any] = {
            "name": "stage",
            "kind": self.kind,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "max_steps": 8,
            "dropout": 0.0,
        }
        stage: Stage = TypeAdapter(Stage).validate_python({**options, **settings})
        random = StepRandom()
        reader = model("bert", n_layers=self.n_layers, seed=self.student_seed, hidden_size=self.width)
        student = network(
            reader,
            self.precision,
            random,
            dropout=stage.dropout,  # type: ignore[arg-type]
            embeds_dropout=getattr(stage, "embeds_dropout", 0.0),
        )
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        job = StageJob(
            number=1,
            settings=stage,
            training=TrainingSettings(**{"log_every_steps": 1, "trackers": (), **(training or {})}),
            student=student,
            objective=wrap(self._objective(student, stage)),
            store=self.store,
            rows=np.arange(len(self.store)),
            pad_id=0,
            random=random,
            folder=folder,
            evaluate=None if evaluate is None else lambda: evaluate(student),
            **job_settings,
        )
        log = RunLog(folder / "log.jsonl")
        return StageTrainer(job, Accelerator(cpu=True), log, Progress(quiet=True), stop or StopSwitch())

    def _objective(self, student: Network, stage: Stage) -> Objective:
        if stage.kind == "labels":
            return Labels(student)
        if stage.kind == "prediction":
            rows = np.arange(len(self.store))
            labels = label_windows(self.teacher, self.store, rows, self.folder / "labels")
            return Prediction(student, labels, temperature=2.0, weight=0.5)
        layer_map = [4 * m // self.n_layers for m in range(1, self.n_layers + 1)]
        return Intermediate(student, self.teacher, Compared(layer_map))

    def log(self, name: str = "run", event: str = "step") -> list[dict[str, Any]]:
        """The lines of one kind, every line of the file being strict JSON."""
        lines = (self.folder / name / "log.jsonl").read_text("utf-8").splitlines()
        return [x for x in (json.loads(line, parse_constant=refuse) for line in lines) if x["event"] == event]


def refuse(constant: str) -> None:
    """Fails on NaN and Infinity, which are not JSON."""
    raise AssertionError(f"{constant} in the log")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Twelve windows and a teacher of four layers."""
    return Bench(tmp_path, store(tmp_path / "store", LENGTHS), network(model("bert", n_layers=4, seed=1)))


class Spy:
    """An objective that calls `before` with the number of its call, from 1, and may change what comes out."""

    def __init__(self, inner: Objective, before: Callable[[int], float | None]) -> None:
        self.inner, self.before, self.calls = inner, before, 0

    def learned(self) -> dict[str, nn.Parameter]:
        return self.inner.learned()

    def terms(self, batch: Batch, totals: Totals) -> dict[str, Term]:
        self.calls += 1
        factor = self.before(self.calls)
        terms = self.inner.terms(batch, totals)
        return terms if factor is None else {n: replace(t, value=t.value * factor) for n, t in terms.items()}


def spying(before: Callable[[int], float | None]) -> Callable[[Objective], Objective]:
    """A wrapper for `Bench.trainer`."""
    return lambda inner: Spy(inner, before)


def losses(bench: Bench, name: str = "run") -> list[float]:
    """The loss of each step."""
    return [line["loss"] for line in bench.log(name)]


def assert_same_bits(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Equality of all weights, bit for bit."""
    assert found.keys() == expected.keys()
    unequal = [n for n, t in expected.items() if not torch.equal(found[n], t)]
    assert unequal == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_parts_changes_nothing(bench: Bench, kind: str) -> None:
    """A batch of 8 computed at once, in two parts and window by window gives one trajectory of losses, terms
    and weights.
    """
    bench.kind = kind
    found = {}
    for parts in (1, 2, 8):
        # a large epsilon: the keys' biases have gradients of rounding errors alone, which Adam would blow up
        options: dict[str, Any] = {"batch_size": 8, "micro_batch_size": 8 // parts, "adam_epsilon": 1e-4}
        trainer = bench.trainer(f"parts-{parts}", max_steps=5, **options)
        trainer.run()
        found[parts] = trainer.weights()
    for parts in (2, 8):
        for one, other in zip(bench.log("parts-1"), bench.log(f"parts-{parts}"), strict=True):
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
            assert other["terms"] == pytest.approx(one["terms"], rel=1e-4)
            assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-3)
        for name, weight in found[1].items():
            torch.testing.assert_close(found[parts][name], weight, atol=2e-5, rtol=1e-4)


def test_training_on_labels_fits_them(bench: Bench) -> None:
    """The loss of a few windows falls to nearly nothing, and the student then points at their answers."""
    trainer = bench.trainer(learning_rate=3e-3, max_steps=100, batch_size=12, weight_decay=0.0)
    outcome = trainer.run()
    course = losses(bench)
    assert course[-1] < 0.05 < 1.0 < course[0]
    assert outcome["steps"] == 100
    assert outcome["windows"] == 1200
    student = trainer.job.student
    student.model.eval()
    on = bench.store.batch(np.arange(12), 0)
    with torch.no_grad():
        out = student.forward(on)
    assert torch.equal(out.start_logits.masked_fill(~on.allowed, -1e9).argmax(-1), on.start)


def test_a_copy_of_the_teacher_stays_as_it_is(bench: Bench) -> None:
    """Intermediate distillation of the teacher into its copy has the loss 0 at each step and moves no
    weight.
    """
    bench.kind, bench.n_layers, bench.student_seed = "intermediate", 4, 1
    trainer = bench.trainer(weight_decay=0.0)
    before = trainer.weights()
    trainer.run()
    assert losses(bench) == [0.0] * 8
    assert_same_bits(trainer.weights(), before)


@pytest.mark.parametrize("kind", ["prediction", "intermediate"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_smaller_student_comes_nearer_to_its_teacher(bench: Bench, kind: str, precision: Precision) -> None:
    """A student of half the layers and the width learns: each term of its loss falls, projections
    included.
    """
    bench.kind, bench.precision = kind, precision
    bench.width = 16 if kind == "intermediate" else 32
    trainer = bench.trainer(learning_rate=5e-3, max_steps=60, batch_size=12)
    before = trainer.weights()
    trainer.run()
    lines = bench.log()
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    if kind == "intermediate":
        assert all(lines[-1]["terms"][n] < 0.9 * v for n, v in lines[0]["terms"].items())
        projections = [n for n in before if n.startswith("projection.")]
        assert projections == ["projection.0.weight", "projection.1.weight", "projection.2.weight"]
        assert all(float((trainer.weights()[n] - before[n]).norm()) > 0.1 for n in projections)
    assert {t.dtype for t in trainer.weights().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("kind", "precision", "width"),
    [
        ("labels", "fp32", 32),
        ("prediction", "bf16", 32),
        ("intermediate", "fp32", 16),
        ("intermediate", "bf16", 32),
    ],
)
def test_a_stopped_run_ends_with_the_same_bits(
    bench: Bench, kind: str, precision: Precision, width: int
) -> None:
    """Stopped twice and gone on with by new objects, with dropout, a run ends as the uninterrupted one, its
    log too.
    """
    bench.kind, bench.precision, bench.width = kind, precision, width
    options: dict[str, Any] = {"max_steps": 9, "dropout": 0.1, "micro_batch_size": 2}
    if kind != "intermediate":
        options["embeds_dropout"] = 0.1
    whole = bench.trainer("whole", **options)
    whole.run()
    for last_step in (3, 5):
        stop = StopSwitch()
        calls = (
            2 * (last_step if last_step == 3 else last_step - 3) - 1
        )  # two parts a step, stopped in the first one

        def ask(call: int, calls: int = calls, stop: StopSwitch = stop) -> None:
            stop.reason = "SIGTERM" if call == calls else stop.reason

        with pytest.raises(
            Interrupted, match=rf"SIGTERM\. Stage 'stage' is saved at step {last_step} of 9; the same"
        ):
            bench.trainer("parts", wrap=spying(ask), stop=stop, **options).run()
    last = bench.trainer("parts", **options)
    outcome = last.run()
    assert_same_bits(last.weights(), whole.weights())
    assert outcome["windows"] == 36
    assert [(x["step"], x["loss"], x["terms"]) for x in bench.log("parts")] == [
        (x["step"], x["loss"], x["terms"]) for x in bench.log("whole")
    ]


def test_a_stop_in_the_last_step_lets_the_stage_end(bench: Bench) -> None:
    """Asked to stop when nothing is left to do, a stage ends as usual; whoever started it sees the
    request.
    """
    stop = StopSwitch()

    def ask(call: int) -> None:
        stop.reason = "Ctrl-C" if call == 8 else ""

    assert bench.trainer(wrap=spying(ask), stop=stop).run()["steps"] == 8
    assert not (bench.folder / "run" / "checkpoints").exists()


def break_off(bench: Bench, **options: Any) -> None:
    """Starts the run "parts", which ends without warning in its sixth step."""

    def crash(call: int) -> None:
        if call == 6:
            raise MemoryError

    with pytest.raises(MemoryError):
        bench.trainer("parts", wrap=spying(crash), **options).run()


def test_work_after_the_last_checkpoint_is_done_again(bench: Bench) -> None:
    """A run that breaks off without warning goes on from its checkpoint, and no step stands in the log
    twice.
    """
    options: dict[str, Any] = {"dropout": 0.1, "training": {"checkpoint_every_steps": 3}}
    whole = bench.trainer("whole", **options)
    whole.run()

    break_off(bench, **options)
    assert [x["step"] for x in bench.log("parts")] == [1, 2, 3, 4, 5]
    last = bench.trainer("parts", **options)
    last.run()
    assert [x["step"] for x in bench.log("parts")] == list(range(1, 9))
    assert_same_bits(last.weights(), whole.weights())


def test_a_damaged_checkpoint_is_passed_over(bench: Bench) -> None:
    """With its newest checkpoint damaged a run goes on from the one before, and still ends with the same
    bits.
    """
    options: dict[str, Any] = {"dropout": 0.1, "training": {"checkpoint_every_steps": 2}}
    whole = bench.trainer("whole", **options)
    whole.run()

    break_off(bench, **options)
    newest = sorted((bench.folder / "parts" / "checkpoints").iterdir())[-1]
    assert newest.name == "step-00000004"
    content = bytearray((newest / "state.safetensors").read_bytes())
    content[-10] ^= 255
    (newest / "state.safetensors").write_bytes(content)
    last = bench.trainer("parts", **options)
    said: list[str] = []
    last.progress.say = said.append  # type: ignore[method-assign]
    last.run()
    assert "step-00000004 is damaged" in said[0]
    assert "resuming from step 2 of 8" in said[1]
    assert_same_bits(last.weights(), whole.weights())


def test_evaluation_leaves_training_alone(bench: Bench) -> None:
    """Measuring the student between steps, with real forward passes, does not change one bit of what it
    becomes.
    """

    def measure(student: Network) -> dict[str, float]:
        on = batch([11, 6])
        runtime = NetworkRuntime(student, 0, CPU)
        first, _ = runtime.logits(on.input_ids.numpy(), on.mask.numpy(), on.segment_ids.numpy())
        second, _ = runtime.logits(on.input_ids.numpy(), on.mask.numpy(), on.segment_ids.numpy())
        assert np.array_equal(first, second)  # no dropout
        return {"f1": float(first.max())}

    plain = bench.trainer("plain", dropout=0.2)
    plain.run()
    measured = bench.trainer("measured", dropout=0.2, evaluate=measure, evaluate_every=3)
    measured.run()
    assert_same_bits(measured.weights(), plain.weights())
    assert [x["step"] for x in bench.log("measured", "evaluation")] == [3, 6]
    assert losses(bench, "measured") == losses(bench, "plain")


def scores_of(values: dict[int, float]) -> Callable[[Network], dict[str, float]]:
    """A measurement that gives the scores in turn; a later process goes on where it is told."""
    left = dict(values)
    return lambda _: {"f1": left.pop(min(left)), "exact": 0.0}


def test_the_best_weights_are_kept_when_asked_for(bench: Bench) -> None:
    """With choose_best the first of the best measurements decides the weights; without it the last step
    does.
    """
    scores = {2: 10.0, 4: 50.0, 6: 50.0, 8: 40.0}
    options: dict[str, Any] = {"schedule": "constant", "evaluate_every": 2, "warmup_share": 0.0}
    short = bench.trainer("short", schedule="constant", max_steps=4, warmup_share=0.0)
    short.run()
    best = bench.trainer("best", evaluate=scores_of(scores), choose_best="f1", **options)
    assert best.run()["best_step"] == 4
    assert_same_bits(best.weights(), short.weights())
    last = bench.trainer("last", evaluate=scores_of(scores), **options)
    assert last.run()["best_step"] is None
    assert not torch.equal(
        last.weights()["student.qa_outputs.weight"], best.weights()["student.qa_outputs.weight"]
    )


def test_the_last_weights_are_among_those_to_choose_from(bench: Bench) -> None:
    """The end of a stage is measured where the best is chosen, also between two regular measurements."""
    scores = {2: 10.0, 4: 20.0, 5: 30.0}
    trainer = bench.trainer(
        "last", max_steps=5, evaluate=scores_of(scores), evaluate_every=2, choose_best="f1"
    )
    assert trainer.run()["best_step"] == 5
    plain = bench.trainer("plain", max_steps=5)
    plain.run()
    assert_same_bits(trainer.weights(), plain.weights())


@pytest.mark.parametrize("crash_at", [4, 6, 8])
def test_the_best_weights_survive_a_crash(bench: Bench, crash_at: int) -> None:
    """Wherever a run breaks off, the weights chosen in the end are those of the uninterrupted run."""
    scores = {2: 10.0, 4: 50.0, 6: 60.0, 8: 40.0}
    options: dict[str, Any] = {
        "dropout": 0.1,
        "evaluate_every": 2,
        "choose_best": "f1",
        "training": {"checkpoint_every_steps": 3},
    }
    whole = bench.trainer("whole", evaluate=scores_of(scores), **options)
    whole.run()

    def crash(call: int) -> None:
        if call == crash_at:
            raise MemoryError

    with pytest.raises(MemoryError):
        bench.trainer("parts", evaluate=scores_of(scores), wrap=spying(crash), **options).run()
    saved = (crash_at - 1) // 3 * 3
    rest = {step: score for step, score in scores.items() if step > saved}
    last = bench.trainer("parts", evaluate=scores_of(rest), **options)
    assert last.run()["best_step"] == 6
    assert_same_bits(last.weights(), whole.weights())


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_step_that_is_not_finite_is_skipped(bench: Bench, factor: float) -> None:
    """Such a step moves no weight, is counted and logged with its windows, and stays out of the logged
    means.
    """
    options: dict[str, Any] = {"schedule": "constant", "warmup_share": 0.0}
    before = bench.trainer("two", max_steps=2, **options)
    before.run()
    trainer = bench.trainer(
        "three", wrap=spying(lambda call: factor if call == 3 else None), max_steps=3, **options
    )
    trainer.run()
    assert_same_bits(trainer.weights(), before.weights())
    trainer = bench.trainer(
        "bad",
        wrap=spying(lambda call: factor if call in (3, 6) else None),
        training={"log_every_steps": 4},
        **options,
    )
    outcome = trainer.run()
    assert outcome["skipped_steps"] == 2
    assert outcome["steps"] == 8
    lines = bench.log("bad", "skipped")
    assert [x["step"] for x in lines] == [3, 6]
    assert lines[0]["not_finite"] == ["labels"]
    assert len(lines[0]["rows"]) == 4
    assert all(t.isfinite().all() for t in trainer.weights().values())
    each = bench.trainer("each", wrap=spying(lambda call: factor if call in (3, 6) else None), **options)
    each.run()
    single = bench.log("each")
    assert [x["step"] for x in single] == [1, 2, 4, 5, 7, 8]
    for mean, among in zip(bench.log("bad"), (single[:3], single[3:]), strict=True):
        for name in ("loss", "gradient_norm"):
            assert mean[name] == pytest.approx(sum(x[name] for x in among) / 3)


def test_too_many_bad_steps_end_the_run(bench: Bench) -> None:
    """After max_bad_steps in a row the run stops with the place and the cause; the last checkpoint is finite
    and stays.
    """
    trainer = bench.trainer(
        wrap=spying(lambda call: math.nan if call in (2, 4, 5, 6) else None),
        training={"max_bad_steps": 3},
        max_steps=20,
    )
    with pytest.raises(
        RunError, match=r"'stage': 3 steps in a row, up to step 6, .*\(labels\)\. Lower the learning rate"
    ):
        trainer.run()
    assert [x["step"] for x in bench.log("run", "skipped")] == [2, 4, 5, 6]
    assert all(t.isfinite().all() for t in trainer.weights().values())


def test_a_log_line_says_where_the_run_is(bench: Bench) -> None:
    """A line has the step, the epoch, the loss as the weighted sum of its terms, the rate and the speed."""
    bench.kind = "prediction"
    bench.trainer(max_steps=None, epochs=2.5, batch_size=5, warmup_share=0.5).run()
    lines = bench.log()
    assert [x["step"] for x in lines] == list(
        range(1, 9)
    )  # 12 windows are 3 batches, 2.5 epochs of them 8 steps
    assert [x["epoch"] for x in lines] == [round(n / 3, 4) for n in range(1, 9)]
    assert [x["learning_rate"] for x in lines][:5] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])
    for line in lines:
        assert line["of"] == 8
        assert line["loss"] == pytest.approx(
            0.5 * line["terms"]["prediction"] + 0.5 * line["terms"]["labels"]
        )
        assert line["windows_per_second"] > 0
        assert line["tokens_per_second"] > line["windows_per_second"]


def test_log_lines_are_means_since_the_last(bench: Bench) -> None:
    """Logging each third step gives the means of three steps, and of the rest at the end."""
    bench.trainer("each").run()
    bench.trainer("third", training={"log_every_steps": 3}).run()
    each, third = losses(bench, "each"), losses(bench, "third")
    assert third == pytest.approx([sum(each[:3]) / 3, sum(each[3:6]) / 3, sum(each[6:]) / 2])


def test_every_window_is_seen_once_an_epoch(bench: Bench) -> None:
    """Two epochs show each window twice, in batches of another order, the last of an epoch being smaller."""
    seen: list[list[int]] = []

    class Watching(Spy):
        def terms(self, batch: Batch, totals: Totals) -> dict[str, Term]:
            seen.append(batch.rows.tolist())
            assert totals == Totals.of(batch.lengths.tolist())
            return self.inner.terms(batch, totals)

    bench.trainer(wrap=lambda o: Watching(o, lambda _: None), max_steps=None, epochs=2, batch_size=5).run()
    assert sorted(len(x) for x in seen[:3]) == [2, 5, 5]
    for epoch in (seen[:3], seen[3:]):
        assert sorted(row for rows in epoch for row in rows) == list(range(12))
    assert seen[:3] != seen[3:]


def test_seeds_decide_order_and_dropout(bench: Bench) -> None:
    """The same seed gives the same weights, another seed others."""
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trainer = bench.trainer(name, dropout=0.1, training={"seed": seed})
        trainer.run()
        found.append(trainer.weights())
    assert_same_bits(found[0], found[1])
    assert not torch.equal(found[0]["student.qa_outputs.weight"], found[2]["student.qa_outputs.weight"])


def test_what_is_random_elsewhere_does_not_matter(bench: Bench) -> None:
    """Other random numbers drawn in the same process, before and between steps, change nothing."""
    first = bench.trainer("a", dropout=0.1)
    first.run()
    torch.manual_seed(99)

    def draw(_: int) -> None:
        torch.rand(3)
        np.random.default_rng().random()

    second = bench.trainer("b", dropout=0.1, evaluate=lambda _: draw(0) or {"f1": 0.0}, evaluate_every=1)
    second.run()
    assert_same_bits(second.weights(), first.weights())


def test_weights_are_copies_in_fp32(bench: Bench) -> None:
    """`weights` names every weight of the student, in fp32, and training on does not change what was given
    out.
    """
    bench.precision = "bf16"
    trainer = bench.trainer()
    given = trainer.weights()
    kept = copy.deepcopy(given)
    names = {f"student.{n}" for n, _ in trainer.job.student.model.named_parameters()}
    assert given.keys() == names
    exact = model("bert", n_layers=2, seed=3)
    assert all(torch.equal(given[f"student.{n}"], p) for n, p in exact.named_parameters())
    trainer.run()
    assert_same_bits(given, kept)
    rounded = dict(trainer.job.student.model.named_parameters())
    assert all(torch.equal(t.to(rounded[n[8:]].dtype), rounded[n[8:]]) for n, t in trainer.weights().items())


@pytest.mark.parametrize(
    ("epochs", "n_rows", "steps"),
    [(1.1, 200, 55), (2, 9, 6), (0.5, 20, 3), (0.01, 4, 1), (1.0001, 4, 2), (1e-9, 4, 1)],
)
def test_epochs_are_steps(epochs: float, n_rows: int, steps: int) -> None:
    """Parts of an epoch count as begun steps do; what floating point adds to a whole number does not; one
    step is least.
    """
    stage = LabelsStage(name="stage", kind="labels", batch_size=4, learning_rate=1e-3, epochs=epochs)
    assert n_steps(stage, n_rows) == steps


@pytest.mark.parametrize("damage", ["file", "weight"])
def test_best_weights_that_are_damaged_are_an_error(bench: Bench, damage: str) -> None:
    """A file of best weights that cannot be read, or in which one number changed, is named with the
    remedy.
    """
    scores = iter([3.0, 1.0])

    def evaluate(_: Network) -> dict[str, float]:
        score = next(scores)
        if score == 1.0:
            path = bench.folder / "damaged" / "best.safetensors"
            content = bytearray(path.read_bytes())
            content[-3] ^= 1
            path.write_bytes(content if damage == "weight" else b"x")
        return {"f1": score}

    trainer = bench.trainer("damaged", evaluate=evaluate, evaluate_every=4, choose_best="f1")
    with pytest.raises(
        RunError, match=r"best.safetensors cannot be read .* Delete .*damaged to have stage 'stage' done"
    ):
        trainer.run()
