"""The U-Net: its size, what its output may and must depend on, its errors."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ddpm_course.unet import Attention, ResidualBlock, SinusoidalTime, UNet, UNetConfig

SMALL = UNetConfig(in_channels=2, image_size=8, channels=(8, 16), attention=(4,), num_classes=5, groups=4, head_channels=4)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def awake(config, seed=0):
    """A U-Net whose zero-initialised layers are made random, so that something comes out."""
    torch.manual_seed(seed)
    model = UNet(config)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture(params=["add", "scale-shift"])
def config(request):
    return replace(SMALL, conditioning=request.param)


X, T, Y = randn(4, 2, 8, 8), torch.tensor([0, 10, 500, 999]), torch.tensor([0, 1, 4, 5])


def test_hos_cifar10_configuration_has_hos_parameter_count():
    # Ho et al. 2020, appendix B: 35.7 million; google/ddpm-cifar10-32 has 35,746,307.
    config = UNetConfig(in_channels=3, image_size=32, channels=(128, 256, 256, 256), blocks=2, attention=(16,), dropout=0.1)
    with torch.device("meta"):
        model = UNet(config)
    assert sum(p.numel() for p in model.parameters()) == 35_746_307


def test_what_is_told_to_the_blocks_can_be_replaced(config):
    """A notebook's learner writes `embed`; the weights stay those of a U-Net."""

    class Deaf(UNet):
        def embed(self, t, y=None):
            return self.embed_time(self.sinusoids(t))

    model, deaf = awake(config), Deaf(config).eval()
    deaf.load_state_dict(model.state_dict())
    assert torch.equal(model.embed(T, Y), model.embed_time(model.sinusoids(T)) + model.embed_label.weight[Y])
    assert torch.equal(model.embed(T), model.embed(T, torch.full_like(T, 5)))
    assert torch.equal(deaf(X, T, Y), deaf(X, T)) and not torch.allclose(model(X, T, Y), model(X, T))


def test_num_classes_adds_an_embedding_with_a_null_row():
    plain, labelled = (sum(p.numel() for p in UNet(replace(SMALL, num_classes=k)).parameters()) for k in (None, 5))
    assert labelled - plain == 6 * 4 * 8  # (5 + null) rows of 4 times the first width
    assert UNet(SMALL).null_label == 5 and UNet(replace(SMALL, num_classes=None)).null_label is None


def test_a_fresh_network_answers_zero(config):
    assert torch.equal(UNet(config)(X, T, Y), torch.zeros_like(X))


def test_a_fresh_block_passes_its_input_on(config):
    x, emb = randn(2, 8, 4, 4), randn(2, 32, seed=1)
    assert torch.equal(ResidualBlock(8, 8, 32, config)(x, emb), x)
    assert torch.equal(Attention(8, config)(x), x)


def test_scale_and_shift_stand_where_the_norm_puts_them():
    # With scale -1 nothing but the shift is left of the branch: it forgets x, and follows the shift.
    block = ResidualBlock(8, 8, 32, replace(SMALL, conditioning="scale-shift"))
    torch.nn.init.normal_(block.conv2.weight)
    torch.nn.init.zeros_(block.condition.weight)
    emb, branches = torch.zeros(2, 32), []
    for shift in (0.5, 1.5):
        with torch.no_grad():
            block.condition.bias.copy_(torch.cat([-torch.ones(8), torch.full((8,), shift)]))
            x = randn(2, 8, 4, 4)
            branches.append(block(x, emb) - x)
        assert torch.allclose(branches[-1][0], branches[-1][1], atol=1e-5)
    assert float((branches[0] - branches[1]).abs().max()) > 0.1


def test_every_parameter_gets_a_gradient(config):
    model = awake(config)
    x, t, y = randn(6, 2, 8, 8), torch.tensor([0, 1, 10, 100, 500, 999]), torch.arange(6)  # every class and the null label
    F.mse_loss(model(x, t, y), randn(6, 2, 8, 8, seed=1)).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or float(p.grad.abs().max()) < 1e-9]
    assert silent == []
    assert bool((model.embed_label.weight.grad.abs().amax(1) > 1e-9).all())


def test_the_output_of_an_image_does_not_depend_on_its_batch(config):
    model = awake(config)
    together = model(X, T, Y)
    for i in range(4):
        assert torch.allclose(model(X[i : i + 1], T[i : i + 1], Y[i : i + 1])[0], together[i], atol=1e-5)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(model(X[order], T[order], Y[order]), together[order], atol=1e-5)
    model.train()  # no batch statistics in training either (dropout is 0 here)
    assert torch.allclose(model(X[:1], T[:1], Y[:1])[0], together[0], atol=1e-5)


def test_the_output_depends_on_image_time_and_label(config):
    model = awake(config)
    x = X[:1].expand(4, -1, -1, -1)
    t, y = torch.full((4,), 300), torch.full((4,), 2)
    for out in (model(X, t, y).detach(), model(x, T, y).detach(), model(x, t, Y).detach()):
        distances = torch.cdist(out.flatten(1), out.flatten(1)) + 100 * torch.eye(4)
        assert float(distances.min()) > 1e-3
    assert torch.allclose(model(x, t, y), model(x, t, y)[:1].expand_as(x), atol=1e-5)


def test_neighbouring_times_are_told_apart():
    model = awake(SMALL)
    x, t = X[:1].expand(4, -1, -1, -1), torch.tensor([998, 999, 0, 1])
    out = model(x, t).detach()
    assert float((out[0] - out[1]).abs().max()) > 1e-4 and float((out[2] - out[3]).abs().max()) > 1e-4


def test_no_label_means_the_null_label(config):
    model = awake(config)
    assert torch.equal(model(X, T), model(X, T, torch.full((4,), 5)))


def test_every_pixel_can_see_every_other():
    model = awake(SMALL)
    x = X[:1].clone().requires_grad_()
    model(x, T[:1], Y[:1])[0, 0, 0, 0].backward()
    assert bool((x.grad != 0).all())


@pytest.mark.parametrize("conditioning", ["add", "scale-shift"])
@pytest.mark.parametrize("patch", [1, 2, 4])
def test_patches_keep_the_shape_of_the_image(patch, conditioning):
    config = replace(SMALL, image_size=16, patch=patch, conditioning=conditioning)
    x = randn(2, 2, 16, 16)
    assert awake(config)(x, T[:2], Y[:2]).shape == x.shape


def test_patches_make_the_network_wider_at_the_ends_alone():
    sizes = [sum(p.numel() for p in UNet(replace(SMALL, image_size=16, attention=(), patch=p)).parameters()) for p in (1, 2)]
    # Three times more pixels in and out, through a 3x3 convolution from and to 8 channels, and a bias for each pixel out.
    assert sizes[1] - sizes[0] == 2 * (6 * 8 * 9) + 6


@given(st.data())
def test_any_small_configuration_keeps_the_shape(data):
    levels, patch = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 2]))
    side = patch * 2 ** (levels - 1) * data.draw(st.integers(1, 3))
    config = UNetConfig(
        in_channels=data.draw(st.integers(1, 3)),
        image_size=side,
        channels=tuple(data.draw(st.sampled_from([4, 8, 12])) for _ in range(levels)),
        blocks=data.draw(st.integers(1, 2)),
        attention=data.draw(st.sampled_from([(), (side // patch,)])),
        num_classes=data.draw(st.sampled_from([None, 1, 3])),
        patch=patch,
        conditioning=data.draw(st.sampled_from(["add", "scale-shift"])),
        groups=data.draw(st.sampled_from([1, 2, 4])),
        head_channels=data.draw(st.sampled_from([2, 4, 64])),
    )
    x, n = randn(2, config.in_channels, side, side), config.num_classes
    out = awake(config)(x, torch.tensor([0, 999]), None if n is None else torch.tensor([0, n]))
    assert out.shape == x.shape and bool(out.isfinite().all()) and bool(out.any())


def test_dropout_acts_in_training_alone():
    model = awake(replace(SMALL, dropout=0.5))
    assert torch.equal(model(X, T, Y), model(X, T, Y))
    model.train()
    assert not torch.allclose(model(X, T, Y), model(X, T, Y))


def test_attention_where_asked_and_in_the_middle():
    def blocks(**change):
        return sum(type(m).__name__ == "Attention" for m in UNet(replace(SMALL, **change)).modules())

    assert blocks(attention=()) == 1
    assert blocks(attention=(4,)) == 1 + 1 + 2  # one block down, two up
    assert blocks(attention=(8, 4)) == 1 + 2 * 3


def test_inputs_are_left_as_they_were(config):
    x, t, y = X.clone(), T.clone(), Y.clone()
    awake(config)(x, t, y)
    assert torch.equal(x, X) and torch.equal(t, T) and torch.equal(y, Y)


def smooth_images(n, side):
    """Blobs and bars in [-1, 1]: a few waves each, squashed."""
    waves = F.interpolate(2 * randn(n, 1, 3, 3, seed=3), size=side, mode="bicubic", align_corners=True)
    return torch.tanh(2 * waves)


def test_it_learns_eight_images_by_heart():
    torch.manual_seed(0)
    model = UNet(UNetConfig(in_channels=1, image_size=8, channels=(8, 16), num_classes=8, groups=4, head_channels=16))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x0, y, t = smooth_images(8, 8).repeat(2, 1, 1, 1), torch.arange(8).repeat(2), torch.arange(16) * 60
    signal = torch.linspace(0.95, 0.05, 16).reshape(-1, 1, 1, 1)
    xt = signal * x0 + (1 - signal**2).sqrt() * randn(16, 1, 8, 8, seed=4)
    losses = []
    for _ in range(150):
        loss = F.mse_loss(model(xt, t, y), x0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(float(x0.square().mean()), rel=1e-5)  # a fresh network answers 0
    assert losses[-1] < losses[0] / 20, losses[-1] / losses[0]


# The time embedding


def time_embedding(t, width):
    """In float64, one number at a time."""
    half = width // 2
    angles = [t * 10_000 ** (-i / max(half - 1, 1)) for i in range(half)]
    return np.array([np.sin(a) for a in angles] + [np.cos(a) for a in angles] + [0.0] * (width % 2))


@pytest.mark.parametrize("width", [2, 8, 9, 64, 128])
def test_sinusoidal_time_is_the_formula(width):
    t = [0, 1, 17, 500, 999]
    ours = SinusoidalTime(width)(torch.tensor(t)).double().numpy()
    assert ours.shape == (5, width)
    assert np.abs(ours - np.stack([time_embedding(v, width) for v in t])).max() < 2e-4


@pytest.mark.parametrize("dtype, rounding", [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_sinusoidal_time_keeps_its_angles_in_a_half_precision_model(dtype, rounding):
    # The output may be rounded, the frequencies may not: times 999, a rounded one is another time.
    ours = SinusoidalTime(64).to(dtype)(torch.tensor([999, 3])).double().numpy()
    expected = np.stack([time_embedding(v, 64) for v in (999, 3)])
    assert np.abs(ours - expected).max() < rounding + 2e-4


def test_a_bfloat16_network_answers_nearly_the_same():
    model = awake(SMALL)
    expected = model(X, T, Y).detach()
    out = model.to(torch.bfloat16)(X.bfloat16(), T, Y).detach()
    assert out.dtype == torch.bfloat16
    assert float((out.float() - expected).square().mean() / expected.square().mean()) < 1e-3


def test_frequencies_are_no_part_of_a_checkpoint():
    assert not [name for name in UNet(SMALL).state_dict() if "frequencies" in name]


# Configuration and errors


def test_config_survives_json(config):
    again = UNetConfig(**json.loads(json.dumps(asdict(config))))
    assert again == config and hash(again) == hash(config)
    torch.manual_seed(0)
    first = UNet(config).state_dict()
    UNet(again).load_state_dict(first, strict=True)


def test_the_error_names_the_divisor():
    with pytest.raises(ValueError, match=r"image_size 28 must be divisible by 8 .*24 or 32 pixels"):
        UNetConfig(image_size=28, channels=(32, 32, 32, 32))
    with pytest.raises(ValueError, match=r"divisible by 16 .*use 16 pixels"):
        UNetConfig(image_size=8, channels=(32, 32, 32), patch=4)
    UNetConfig(image_size=28, channels=(32, 32, 32))  # 28, 14, 7


@pytest.mark.parametrize(
    "bad",
    [
        {"channels": ()},
        {"channels": (32, 0)},
        {"channels": (32, 33)},
        {"channels": (32,), "groups": 5},
        {"groups": 0},
        {"blocks": 0},
        {"patch": 0},
        {"image_size": 0},
        {"in_channels": 0},
        {"num_classes": 0},
        {"conditioning": "film"},
        {"dropout": 1.5},
        {"head_channels": 0},
        {"channels": (32, 96), "head_channels": 13},
    ],
    ids=str,
)
def test_a_bad_configuration_is_a_value_error(bad):
    with pytest.raises(ValueError):
        UNet(UNetConfig(**bad))


@pytest.mark.parametrize(
    "xt, t, y",
    [
        (X[:, :1], T, Y),
        (randn(4, 2, 8, 4), T, Y),
        (randn(4, 2, 16, 16), T, Y),
        (X[0], T, Y),
        (X, T[:1], Y),
        (X, T[:, None], Y),
        (X, T[0], Y),
        (X, T, Y[:1]),
        (X, T, Y[:, None]),
        (X, T, torch.tensor([0, 1, 2, 6])),
        (X, T, torch.tensor([0, 1, 2, -1])),
    ],
)
def test_a_bad_input_is_a_value_error(xt, t, y):
    with pytest.raises(ValueError):
        UNet(SMALL)(xt, t, y)


def test_an_unconditional_network_refuses_labels():
    with pytest.raises(ValueError, match="unconditional"):
        UNet(replace(SMALL, num_classes=None))(X, T, Y)
