"""The weight editors against their definitions, on small random models of every architecture."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kgt.editors import Editor, EditRequest, Question
from kgt.editors.attention import grouped
from kgt.editors.finetune import FineTune, FTSettings
from kgt.editors.grace import Codebook
from kgt.editors.hyper import Hyper
from kgt.editors.hypernetwork import HyperEditor, Lesson, train
from kgt.editors.kn import attributions
from kgt.editors.low_rank import Factors, changed_by, commit, gradients
from kgt.editors.mend import MENDSettings
from kgt.editors.network import Names, Network
from kgt.editors.open import load_weight_editor, opened, untrained
from kgt.editors.rome import ROME, ROMESettings, cut_at_subject, insert
from kgt.editors.trace import trace
from kgt.editors.weights import WeightEditor
from kgt.errors import BadInput, NotFound
from kgt.lm import check_editable
from kgt.lm.hf import HFModel

from ..tiny_models import ARCHITECTURES

QUERY = "The mother tongue of Danielle Darrieux is"
TEACH = EditRequest("ana", QUERY, "English", "Danielle Darrieux", "English", "French")
ASKED = Question("ana", QUERY, "Danielle Darrieux")
OTHER = Question("ana", "Victor Hugo writes in", "Victor Hugo")
Tiny = Callable[[str], HFModel]
CHANGING = ("ft", "ft_l", "ft_ewc", "ft_retrain", "rome", "kn")
PROMPT = "The mother tongue of Danielle Darrieux is"


@pytest.fixture(params=sorted(ARCHITECTURES))
def model(request: pytest.FixtureRequest, tiny: Tiny) -> HFModel:
    return tiny(request.param)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A text for statistics; a random model would write noise."""
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{PROMPT} French {i}. Victor Hugo was born in {1802 + i}.\n" for i in range(60)))
    return path


def state(model: HFModel) -> dict[str, torch.Tensor]:
    return copy.deepcopy(model.module.state_dict())


def same(model: HFModel, before: dict[str, torch.Tensor]) -> bool:
    now = model.module.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[k], before[k]) for k in before)


def probability(editor: Editor, question: Question = ASKED, answer: str = "English") -> float:
    return editor.score([question], [[answer]])[0][0].probability


@pytest.mark.parametrize("name", [*CHANGING, "grace", "defer"])
def test_an_edit_makes_the_answer_likelier_and_reset_is_bit_for_bit(name: str, model: HFModel, corpus: Path) -> None:
    before = state(model)
    editor = load_weight_editor(name, model, corpus=corpus)
    unedited = probability(editor)
    report = editor.edit(TEACH)
    assert report.milliseconds > 0
    if name == "kn":  # the neurons of a random model know nothing: only that it writes is certain
        assert probability(editor) != unedited
    else:
        assert probability(editor) > unedited
    assert editor.memory() > 0
    editor.reset()
    assert same(model, before)
    assert probability(editor) == pytest.approx(unedited, rel=1e-5)
    editor.close()
    assert not model.module._forward_pre_hooks


@pytest.mark.parametrize("name", ["ft_retrain", "rome", "grace"])
def test_an_editor_goes_on_from_its_saved_state(name: str, tiny: Tiny, corpus: Path, tmp_path: Path) -> None:
    model = tiny("llama")
    before = state(model)
    editor = load_weight_editor(name, model, corpus=corpus)
    editor.edit(TEACH)
    torch.save(editor.state(), tmp_path / "state.pt")
    edited = probability(editor)
    editor.close()
    again = load_weight_editor(name, model, corpus=corpus)
    again.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert probability(again) == edited
    again.edit(replace(TEACH, query="The mother tongue of Victor Hugo is", subject="Victor Hugo"))
    again.reset()
    again.close()
    assert same(model, before)


def test_a_bfloat16_model_is_bit_for_bit_the_same_after_close(tiny: Tiny) -> None:
    model = tiny("llama")
    model.module.to(torch.bfloat16)
    before = state(model)
    editor = load_weight_editor("ft", model)
    editor.edit(TEACH)
    assert not same(model, before)
    editor.close()
    assert same(model, before)


def test_the_tail_run_apart_gives_what_the_whole_model_gives(model: HFModel) -> None:
    network, _ = opened(model, None)
    rows = [(model.encode(PROMPT), model.encode(" French")), (model.encode("Victor Hugo is"), model.encode(" so"))]
    batch = network.rows(rows)
    whole = model.forward(batch.ids, batch.mask, None, keep=0, use_cache=False).logits
    wanted = torch.nn.functional.pad(batch.labels[:, 1:] != -100, (0, 1))
    for layer in range(network.depth):
        torch.testing.assert_close(network.below(batch, layer).logits(), whole[wanted].float(), atol=1e-5, rtol=1e-4)


def test_the_last_positions_of_a_batch_cost_no_copy_of_the_head(tiny: Tiny) -> None:
    model = tiny("llama")
    model.module.to(torch.bfloat16)
    opened(model, None)
    ids, mask = model.pad_left([model.encode(PROMPT)] * 8)
    with torch.no_grad(), torch.profiler.profile(record_shapes=True) as profile:
        vocabulary = model.forward(ids, mask, None, keep=1).logits.shape[-1]
    copied = [event.input_shapes[0] for event in profile.events() if event.name == "aten::copy_"]
    assert copied
    assert not any(vocabulary in shape for shape in copied)


@pytest.mark.parametrize("masked", [None, torch.bool, torch.float32])
def test_attention_for_gradients_is_attention(masked: torch.dtype | None) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 6, 3, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 4)
    sees = torch.ones(2, 1, 3, 5, dtype=torch.bool).tril(2)
    mask = sees if masked != torch.float32 else torch.zeros(sees.shape).masked_fill(~sees, torch.finfo().min)
    found, _ = grouped(None, query, key, value, mask if masked else None)
    every = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=sees, enable_gqa=True)
    torch.testing.assert_close(found, every.transpose(1, 2))


def test_an_editor_that_cannot_be_opened_leaves_the_model_alone(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    with pytest.raises(NotFound, match="no trained mend network"):
        load_weight_editor("mend", model, cache=tmp_path)
    assert model.shortcuts
    assert not model.module.get_output_embeddings()._forward_pre_hooks


def test_ft_l_never_leaves_the_clamp(model: HFModel) -> None:
    network, _ = opened(model, None)
    editor = FineTune("ft_l", network, FTSettings(layer=1, lr=1e-2, clamp=1e-3))
    before = [p.detach().clone() for p in editor.parameters()]
    for answer in ("English", "German", "Dutch"):
        editor.edit(replace(TEACH, object=answer))
    moved = max(float((p - old).abs().max()) for p, old in zip(editor.parameters(), before, strict=True))
    assert 0.9e-3 < moved <= 1e-3 + 1e-7
    editor.close()


def test_ewc_holds_weights_that_matter(tiny: Tiny, corpus: Path) -> None:
    moved = []
    for ewc in (0.0, 1e6):
        model = tiny("llama")
        network, _ = opened(model, None)
        texts = [model.encode(line) for line in corpus.read_text().splitlines()[:8]]
        editor = FineTune("ft_ewc", network, FTSettings(layer=1, ewc=ewc), texts)
        before = [p.detach().clone() for p in editor.parameters()]
        editor.edit(TEACH)
        moved.append(sum(float((p - old).norm()) for p, old in zip(editor.parameters(), before, strict=True)))
    assert moved[1] < 0.5 * moved[0]


def test_romes_update_gives_v_for_k_and_leaves_what_is_orthogonal(model: HFModel) -> None:
    network, _ = opened(model, None)
    matrix = network.matrix(1)
    out, inner = matrix.weight.shape[::-1] if type(matrix).__name__ == "Conv1D" else matrix.weight.shape
    torch.manual_seed(0)
    k, v = torch.randn(inner), torch.randn(out)
    root = torch.randn(inner, inner)
    u = torch.linalg.solve(root @ root.T + torch.eye(inner), k)
    others = torch.randn(50, inner)
    others -= torch.outer(others @ u / (u @ u), u)  # orthogonal to C⁻¹k
    with torch.no_grad():
        before = matrix(others)
        insert(matrix, k, v, u)
        torch.testing.assert_close(matrix(k[None])[0], v, atol=1e-4, rtol=0)
        torch.testing.assert_close(matrix(others), before, atol=1e-4, rtol=0)


def test_rome_as_an_editor_gives_v_for_its_key(model: HFModel, corpus: Path) -> None:
    editor = load_weight_editor("rome", model, corpus=corpus)
    assert isinstance(editor, ROME)
    seen: dict[str, Any] = {}
    found = editor.key_and_value

    def watch(*given: Any) -> Any:
        seen["k"], seen["v"] = found(*given)
        return seen["k"], seen["v"]

    editor.key_and_value = watch  # type: ignore[method-assign]
    editor.edit(TEACH)
    with torch.no_grad():
        matrix = editor.network.matrix(editor.settings.layer)
        torch.testing.assert_close(matrix(seen["k"][None])[0], seen["v"], atol=1e-4, rtol=1e-4)


def test_romes_key_is_the_activation_at_the_subjects_last_token(tiny: Tiny) -> None:
    model = tiny("gpt2")
    network, _ = opened(model, None)
    editor = ROME(network, ROMESettings(layer=1, prefixes=0, steps=1, adjust=False), lambda: torch.eye(1))
    seen: list[torch.Tensor] = []
    text = editor.prompt(ASKED).text
    before, rest = cut_at_subject(model, text, "Danielle Darrieux")
    assert "".join(model.tokenizer.decode(before + rest[:1])).endswith("Danielle Darrieux")
    hook = network.matrix(1).register_forward_pre_hook(lambda _, args: seen.append(args[0][0, len(before)].clone()))
    ids, mask = model.pad_left([before + rest])
    with torch.no_grad():
        model.forward(ids, mask, None, keep=1)
    hook.remove()
    k, _ = editor.key_and_value(editor._contexts(TEACH), model.encode(" English"), editor._drift_prompt(TEACH))
    torch.testing.assert_close(k, seen[0], atol=1e-5, rtol=1e-4)


def test_attributions_sum_to_the_difference_they_integrate(model: HFModel) -> None:
    network, _ = opened(model, None)
    prompt, token = model.encode(PROMPT), model.encode(" French")[0]
    found = attributions(network, prompt, token, steps=200)
    ids, mask = model.pad_left([prompt])

    def answer() -> float:
        with torch.no_grad():
            return float(model.forward(ids, mask, None, keep=1).logits[0, -1].float().softmax(-1)[token])

    whole = answer()
    for layer in range(network.depth):

        def silence(_: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            changed = args[0].clone()
            changed[:, -1] = 0
            return (changed,)

        hook = network.matrix(layer).register_forward_pre_hook(silence)
        silent = answer()
        hook.remove()
        assert float(found[layer].sum()) == pytest.approx(whole - silent, rel=0.05, abs=1e-6)


def test_a_gradient_is_the_sum_of_its_outer_products(model: HFModel) -> None:
    network, _ = opened(model, None)
    layers = range(2, network.depth)
    matrices = [
        network.matrix(layer, part) for layer in layers for part in (*network.names.mlp_in, network.names.mlp_out)
    ]
    rows = [(model.encode(PROMPT), model.encode(" French")), (model.encode("Victor"), model.encode(" Hugo is"))]
    apart = gradients(network.below(network.rows(rows), 2), matrices)
    for i, row in enumerate(rows):
        for m in matrices:
            m.weight.requires_grad_(True)
        whole = torch.autograd.grad(network.below(network.rows([row]), 0).loss(), [m.weight for m in matrices])
        for m, full, factors in zip(matrices, whole, apart, strict=True):
            full = full.T if type(m).__name__ == "Conv1D" else full
            torch.testing.assert_close(factors.matrix(i), full, atol=1e-6, rtol=1e-3)


def test_a_change_put_beside_the_weights_is_the_change_in_them(model: HFModel) -> None:
    network, _ = opened(model, None)
    matrix = network.matrix(2)
    out, inner = matrix.weight.shape[::-1] if type(matrix).__name__ == "Conv1D" else matrix.weight.shape
    torch.manual_seed(0)
    change = [Factors(torch.randn(1, 3, out) / 10, torch.randn(1, 3, inner) / 10)]
    tail = network.below(network.rows([(model.encode(PROMPT), model.encode(" French"))]), 2)
    with changed_by([matrix], change):
        beside = tail.logits()
    plain = tail.logits()
    commit([matrix], change)
    assert not torch.allclose(plain, beside, atol=1e-3)
    torch.testing.assert_close(tail.logits(), beside, atol=1e-4, rtol=1e-4)


def test_graces_codebook_adds_expands_and_splits() -> None:
    book = Codebook()
    value = torch.zeros(1)
    assert book.admit(torch.tensor([0.0, 0.0]), (1,), value, 1.0) == (0, "added")
    assert book.within(torch.tensor([0.9, 0.0])) == 0
    assert book.within(torch.tensor([1.1, 0.0])) is None
    # farther than both radii together: a new key
    assert book.admit(torch.tensor([5.0, 0.0]), (2,), value, 1.0) == (1, "added")
    # radii would meet, same label: the old key's radius grows to the distance
    assert book.admit(torch.tensor([1.5, 0.0]), (1,), value, 1.0) == (0, "expanded")
    assert book.radii == [1.5, 1.0]
    # inside already: nothing grows
    assert book.admit(torch.tensor([0.5, 0.0]), (1,), value, 1.0) == (0, "expanded")
    assert book.radii == [1.5, 1.0]
    # another label: both get half the distance
    assert book.admit(torch.tensor([0.0, 1.0]), (3,), value, 1.0) == (2, "split")
    assert book.radii == [0.5, 1.0, 0.5]
    assert book.within(torch.tensor([0.0, 0.9])) == 2


@pytest.mark.parametrize("method", ["mend", "ke"])
def test_a_network_learns_to_edit_and_goes_on_after_a_stop(method: str, tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    before = state(model)
    network, hyper = opened(model, None)
    editor, settings = untrained(method, network, hyper)
    settings = replace(settings, c_edit=1.0, lr=1e-3, **({"lr_lr": 1e-2} if method == "mend" else {}), batch=2)
    english = network.pair(editor, TEACH)
    french = network.pair(editor, replace(TEACH, query="Victor Hugo writes in", subject="Victor Hugo", object="French"))
    lessons = [Lesson(english, english, french)]
    told: list[Any] = []
    file = tmp_path / "network.pt"

    def go(steps: int) -> None:
        def stop(progress: Any) -> None:
            told.append(copy.deepcopy(progress))
            if progress.step >= steps:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(editor, lessons, lessons, settings, file, minutes=5, patience=10_000, every=20, report=stop)

    go(20)
    go(60)
    assert [p.step for p in told] == [0, 20, 20, 40, 60] or [p.step for p in told] == [0, 20, 40, 60]
    assert told[-1].curve[-1]["edit"] < told[0].curve[0]["edit"]
    assert file.exists()
    again, _ = untrained(method, network, hyper, file)
    unedited = probability(again)
    again.edit(TEACH)
    assert probability(again) > unedited
    again.reset()
    assert same(model, before)


def test_a_network_of_another_model_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    network, hyper = opened(tiny("llama"), None)
    torch.save({"strange": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="another model"):
        untrained("mend", network, hyper, tmp_path / "x.pt")


def test_an_untrained_editor_says_how_to_train_it(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no trained mend") as caught:
        load_weight_editor("mend", tiny("llama"), cache=tmp_path)
    assert "train-editor" in caught.value.hint


def test_an_edit_that_fails_or_is_interrupted_leaves_no_trace(tiny: Tiny, corpus: Path) -> None:
    model = tiny("llama")
    before = state(model)
    for error in (KeyboardInterrupt, RuntimeError):
        editor = load_weight_editor("ft", model)
        assert isinstance(editor, WeightEditor)

        def broken(*_: Any, error: type[BaseException] = error, editor: WeightEditor = editor) -> None:
            with torch.no_grad():
                editor.parameters()[0].add_(1.0)
            raise error

        editor.learn = broken  # type: ignore[method-assign]
        with pytest.raises(error):
            editor.edit(TEACH)
        assert same(model, before)


def test_a_loss_that_is_no_number_is_rolled_back(tiny: Tiny) -> None:
    model = tiny("gpt2")
    before = state(model)
    network, _ = opened(model, None)
    editor = FineTune("ft", network, FTSettings(layer=1, lr=float("inf")))
    with pytest.raises(BadInput, match=r"not a number|no numbers"):
        editor.edit(TEACH)
    assert same(model, before)


def test_romes_statistics_must_be_moments(tiny: Tiny) -> None:
    model = tiny("llama")
    network, _ = opened(model, None)
    inner = network.matrix(0).weight.shape[1]
    with pytest.raises(BadInput, match="second moments"):
        ROME(network, ROMESettings(layer=0, steps=2, prefixes=0), lambda: -torch.eye(inner)).edit(TEACH)


def test_rome_needs_the_subject_in_the_query(tiny: Tiny, corpus: Path) -> None:
    editor = load_weight_editor("rome", tiny("llama"), corpus=corpus)
    with pytest.raises(BadInput, match="does not name its subject"):
        editor.edit(replace(TEACH, subject="Marie Curie"))


def test_missing_statistics_and_hyper_parameters_are_named(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no text"):
        load_weight_editor("rome", tiny("llama"), corpus=tmp_path / "none.txt").edit(TEACH)
    with pytest.raises(NotFound, match="no file"):
        load_weight_editor("ft", tiny("llama"), hparams=tmp_path / "none.toml")


def test_own_hyper_parameters_and_names(tiny: Tiny, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('depth = 4\n[names]\nmlp_out = "mlp.up_proj"\n[ft]\nlayer = 2\nlr = 1e-3\n')
    editor = load_weight_editor("ft", tiny("llama"), hparams=own)
    assert isinstance(editor, FineTune)
    assert editor.settings == FTSettings(layer=2, lr=1e-3)
    assert editor.matrices[0] is editor.network.layers[2].mlp.up_proj
    own.write_text("[ft]\nspeed = 2\n")
    with pytest.raises(BadInput, match="speed"):
        load_weight_editor("ft", tiny("llama"), hparams=own)
    own.write_text("depth = 4\n[ft]\nlayer = 9\n")
    with pytest.raises(BadInput, match="no layer 9"):
        load_weight_editor("ft", tiny("llama"), hparams=own)
    own.write_text("[ft]\nlayer = 2\n")
    with pytest.raises(BadInput, match="depth"):
        load_weight_editor("ft", tiny("llama"), hparams=own)


def test_an_unknown_architecture_says_which_names_to_give(tiny: Tiny) -> None:
    with pytest.raises(BadInput, match="not known") as caught:
        Hyper("some-model", "mamba", 4)
    assert "mlp_out" in caught.value.hint
    with pytest.raises(BadInput, match="no part"):
        Network(tiny("gpt2"), Names("transformer.h", "transformer.norm", ("mlp.c_fc",), "mlp.c_proj"))


def test_layers_are_scaled_to_the_models_depth() -> None:
    assert Hyper("x", "llama", 32).of("rome", ROMESettings).layer == 5
    assert Hyper("x", "llama", 80).of("rome", ROMESettings).layer == 13
    assert Hyper("x", "gpt2", 48).of("rome", ROMESettings).layer == 17


def test_quantised_weights_are_refused_before_they_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "gptq"}}')
    with pytest.raises(BadInput, match="quantised"):
        check_editable(str(tmp_path))


def test_causal_tracing_restores_what_noise_took(model: HFModel) -> None:
    network, _ = opened(model, None)
    found = trace(network, PROMPT, "Danielle Darrieux", model.encode(" French"))
    assert found.restored.shape == (network.depth,)
    assert 0 <= found.corrupted <= 1
    assert not any(layer._forward_hooks for layer in network.layers)
    assert torch.equal(found.restored, trace(network, PROMPT, "Danielle Darrieux", model.encode(" French")).restored)


def test_settings_of_a_file_are_the_published_ones() -> None:
    mend = Hyper("x", "llama", 32).of("mend", MENDSettings)
    assert (mend.last_layers, mend.lr, mend.edit_lr) == (3, 1e-6, 1e-4)


def test_hyper_editors_change_only_the_last_layers(tiny: Tiny) -> None:
    network, hyper = opened(tiny("llama"), None)
    editor, _ = untrained("mend", network, hyper)
    assert isinstance(editor, HyperEditor)
    assert editor.first_layer == 1
    assert len(editor.matrices) == 9
