"""Records as vectors: without a model, and by its hidden states without their common part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from selfimprove.errors import RecipeError, Refused
from selfimprove.inference.record_vectors import check, needs, vectors
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.selection.k_center import KCenter
from selfimprove.records import Document


def test_both_kinds_have_length_one_and_a_model_loses_what_is_common(make_policy: Callable) -> None:
    pool = [Document(text=text) for text in ("zzab", "zzcd", "zzef", "zzef")]
    policy = make_policy(Fake())
    plain, model = (vectors(pool, policy, kind) for kind in ("ngrams", "model"))
    for rows in (plain, model):
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1) and (rows[2] == rows[3]).all()
    assert model[0] @ model[1] < 0 < policy.embed(["zzab"])[0] @ policy.embed(["zzcd"])[0]
    assert len(vectors([], policy, "model")) == 0


def test_what_is_not_declared_or_does_not_exist_is_refused(make_policy: Callable) -> None:
    with pytest.raises(RecipeError, match="x=words is none of ngrams, model"):
        check("words", "x")
    assert needs("model").engine == ("embed",) and not needs("ngrams").engine
    with pytest.raises(Refused, match="embed"):
        make_policy(Fake()).held(KCenter()).embed(["a"])
