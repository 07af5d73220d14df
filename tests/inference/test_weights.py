"""Scores by a plain forward pass, in one piece and in several."""

from __future__ import annotations

import pytest

from selfimprove.inference import token_scores, weights

PAIRS = [(list(range(10, 17)), list(range(40, 70))), ([5], [6, 7]), ([8, 9], list(range(20, 31)))]


@pytest.fixture
def pieces(monkeypatch):
    """`pieces(model, statistic, places)`: scores with logits of so many positions at once, and how many there were."""

    def score(model, statistic, places):
        seen = []
        handle = model.register_forward_hook(lambda *given: seen.append(given[2].logits.shape[:2].numel()))
        monkeypatch.setattr(token_scores, "NUMBERS", places * model.config.vocab_size)
        made = token_scores.score(model, PAIRS, statistic, 8)
        handle.remove()
        return made, seen

    return score


@pytest.mark.parametrize("statistic", token_scores.STATISTICS)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma3"])
def test_a_row_whose_logits_do_not_fit_is_scored_in_pieces(kind, statistic, pieces, small_llama, tmp_path):
    model, _ = weights.load(str(small_llama.build(tmp_path / "model", kind)), "cpu", "float32")
    if kind == "gemma3":
        model.config.final_logit_softcapping = 5.0
    whole, seen = pieces(model, statistic, 1000)
    assert seen == [3 * 37]
    for places in (36, 12, 5):
        found, seen = pieces(model, statistic, places)
        assert max(seen) <= places
        for one, other in zip(found, whole, strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def test_a_model_with_another_state_than_keys_and_values_is_scored_whole(pieces, small_llama, tmp_path):
    model, _ = weights.load(str(small_llama.build(tmp_path / "model", "mamba")), "cpu", "float32")
    whole, _ = pieces(model, "logprob", 1000)
    found, seen = pieces(model, "logprob", 10)
    assert max(seen) == 37
    for one, other in zip(found, whole, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
