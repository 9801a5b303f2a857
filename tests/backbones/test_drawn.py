"""What layers draw: its rates, and what it depends on."""

import numpy as np
import oneflow as flow
import pytest
from oneflow import nn

from backbones.drawn import KEPT, PLACES, Draws, Dropout, DropPath, TokenMask, unmask

RECORDS = np.random.default_rng(0).integers(0, 42_474_557, 2000)


def network():
    return nn.Sequential(Dropout(0.4, 30), DropPath(0.05), TokenMask(144, 0.3), Dropout(0.25, 5), DropPath(0.5))


def test_rates_are_obeyed():
    numbers = Draws(network()).draw(1, 2, RECORDS)
    kept = numbers[KEPT]
    assert kept.shape == (2000, 37) and kept.dtype == np.uint8 and set(np.unique(kept)) == {0, 1}
    for columns, share in ((slice(30), 0.4), (slice(30, 31), 0.05), (slice(31, 36), 0.25), (slice(36, 37), 0.5)):
        part = kept[:, columns]
        assert abs((1 - part).mean() - share) < 4 * np.sqrt(share * (1 - share) / part.size)
    # Layers and places draw by themselves.
    np.testing.assert_allclose(np.corrcoef(kept.T), np.eye(37), atol=5 / np.sqrt(2000))


@pytest.mark.parametrize(("tokens", "share", "left"), [(144, 0.3, 100), (144, 0.05, 136), (12, 0.99, 1)])
def test_a_mask_leaves_some_tokens_each_as_often(tokens, share, left):
    mask = TokenMask(tokens, share)
    numbers = Draws(mask).draw(1, 2, RECORDS)[PLACES]
    assert mask.kept == left and numbers.shape == (2000, left + tokens)
    kept, places = numbers[:, :left], numbers[:, left:]
    assert (np.diff(kept, axis=1) > 0).all()
    for row, where in zip(kept[:50], places[:50], strict=True):
        np.testing.assert_array_equal(where[row], np.arange(left))
        np.testing.assert_array_equal(np.delete(where, row), left)
    seen = np.bincount(kept.ravel(), minlength=tokens) / 2000
    assert np.abs(seen - left / tokens).max() < 5 * np.sqrt(left / tokens * (1 - left / tokens) / 2000)


def test_numbers_depend_on_seed_step_and_record_alone():
    draws = Draws(network())
    whole = draws.draw(1, 2, RECORDS)
    some = np.array([1999, 3, 700])
    for name, rows in draws.draw(1, 2, RECORDS[some]).items():
        np.testing.assert_array_equal(rows, whole[name][some])
    for seed, step in ((1, 3), (2, 2)):
        other = draws.draw(seed, step, RECORDS)
        assert abs(np.corrcoef(other[KEPT].ravel(), whole[KEPT].ravel())[0, 1]) < 0.1
        assert (other[PLACES] != whole[PLACES]).any(axis=1).all()


def test_layers_do_what_was_drawn_for_them():
    layers = network()
    draws, rng = Draws(layers), np.random.default_rng(3)
    drawn = draws.draw(1, 2, RECORDS[:4])
    assert draws.columns == {name: rows.shape[1] for name, rows in drawn.items()}
    first, path, mask, *_ = layers
    x, tokens, token = (rng.normal(size=size).astype(np.float32) for size in ((4, 6, 5), (4, 144, 3), (1, 1, 3)))
    with draws.given({name: flow.tensor(rows) for name, rows in drawn.items()}):
        dropped, left_out = first(flow.tensor(x)).numpy(), path(flow.tensor(x)).numpy()
        kept, places = mask(flow.tensor(tokens))
        back = unmask(kept * 2, places, flow.tensor(token)).numpy()
    np.testing.assert_allclose(dropped, x * drawn[KEPT][:, :30].reshape(4, 6, 5) / 0.6, rtol=1e-4)
    np.testing.assert_allclose(left_out, x * drawn[KEPT][:, 30].reshape(4, 1, 1) / 0.95, rtol=1e-6)
    seen = np.zeros((4, 144), bool)
    np.put_along_axis(seen, drawn[PLACES][:, :100].astype(np.int64), True, axis=1)
    np.testing.assert_array_equal(back, np.where(seen[..., None], 2 * tokens, token))


def test_numbers_that_a_step_forgets_are_missed():
    layers = network()
    with pytest.raises(KeyError), Draws(layers).given({}):
        pass


def test_evaluation_draws_nothing():
    layers = network().eval()
    assert Draws(layers).columns == {} and Draws(layers).draw(1, 2, RECORDS) == {}
    x = flow.randn(2, 30)
    np.testing.assert_array_equal(layers[1](layers[0](x)).numpy(), x.numpy())
    assert layers[2](x) == (x, None)


def test_a_network_by_itself_draws_from_oneflows_seed():
    layer, x = Dropout(0.5, 1000), flow.ones(2, 1000)
    actual = []
    for seed in (1, 1, 2):
        flow.manual_seed(seed)
        actual.append(layer(x).numpy())
    np.testing.assert_array_equal(actual[0], actual[1])
    assert (actual[0] != actual[2]).mean() > 0.4
    assert set(np.unique(actual[0])) == {0, 2}
