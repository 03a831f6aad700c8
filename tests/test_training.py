"""The training loop against plain torch, and every way in which it can stop."""

import dataclasses
import errno
import itertools
import json
import math
import multiprocessing
import os
import random
import re
import resource
import threading

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny import SMALL, TRAIN, build, digits, run
from torch import nn

from ddpm_course import checkpoints, training
from ddpm_course.checkpoints import CheckpointError, load_checkpoint, read_tensors
from ddpm_course.data import ImageData, to_float
from ddpm_course.diffusion import Diffusion
from ddpm_course.exact import GaussianDenoiser
from ddpm_course.sampling import sample
from ddpm_course.schedule import NoiseSchedule
from ddpm_course.training import TrainConfig, Trainer, TrainingError, batch_indices, begun, learning_rate, mix, plan_images, planned, train

CPU = torch.device("cpu")


def trainer(data=None, unet=SMALL, **changes):
    model, diffusion = build(unet=unet)
    return Trainer(model, diffusion, data or digits(256, 8), dataclasses.replace(TRAIN, **changes), CPU)


def assert_finite_and_loadable(run_dir, before: int):
    tensors, card = read_tensors(run_dir / "state.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert 0 < card["images_seen"] <= before
    load_checkpoint(run_dir)


# --- the learning rate --------------------------------------------------------------------------------------------


def test_learning_rate_equals_torchs_cosine():
    config = TrainConfig(images=3200, batch_size=32, lr=0.3, warmup_images=0, lr_end=0.1)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100, eta_min=0.03)
    for step in range(101):
        assert learning_rate(config, 32 * step) == pytest.approx(schedule.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        schedule.step()


@given(
    images=st.integers(64, 10**7), batch_size=st.integers(1, 64), warmup=st.integers(0, 10**6), end=st.floats(0, 1),
    lr=st.floats(1e-6, 1.0), seen=st.integers(0, 10**7),
)
def test_learning_rate_stays_in_range(images, batch_size, warmup, end, lr, seen):
    config = TrainConfig(images=images, batch_size=batch_size, lr=lr, warmup_images=warmup, lr_end=end)
    value = learning_rate(config, seen)
    assert 0 <= value <= lr * (1 + 1e-12)
    assert value == learning_rate(config, seen)


def test_learning_rate_rises_then_falls_without_a_jump():
    config = TrainConfig(images=20_000, batch_size=20, lr=1.0, warmup_images=5_000)
    values = [learning_rate(config, seen) for seen in range(0, 20_001, 20)]
    top = values.index(max(values))
    assert top == 250 and values[top] == 1.0
    assert 0 < values[0] < 0.01
    assert all(a < b for a, b in zip(values[:top], values[1:], strict=False))
    assert all(a > b for a, b in zip(values[top:], values[top + 1 :], strict=False))
    assert max(abs(a - b) for a, b in zip(values, values[1:], strict=False)) < 0.005
    assert values[-1] == 0


@pytest.mark.parametrize("end", [0.0, 0.25])
def test_learning_rate_ends_where_it_is_told(end):
    config = TrainConfig(images=1000, batch_size=10, lr=0.5, warmup_images=100, lr_end=end)
    assert learning_rate(config, 1000) == pytest.approx(0.5 * end)
    assert learning_rate(config, 5000) == pytest.approx(0.5 * end)


# --- the order of the data ----------------------------------------------------------------------------------------


@given(n=st.integers(1, 40), seed=st.integers(0, 2**40), epoch=st.integers(0, 9))
def test_every_epoch_is_a_permutation(n, seed, epoch):
    assert sorted(batch_indices(n, epoch * n, n, seed).tolist()) == list(range(n))


@given(
    n=st.integers(1, 40), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=12), start=st.integers(0, 100), seed=st.integers(0, 99)
)
def test_order_does_not_depend_on_the_batch_size(n, sizes, start, seed):
    whole = batch_indices(n, start, sum(sizes), seed)
    positions = [start + sum(sizes[:i]) for i in range(len(sizes))]
    parts = [batch_indices(n, position, size, seed) for position, size in zip(positions, sizes, strict=True)]
    assert torch.equal(torch.cat(parts), whole)
    assert whole.dtype == torch.int64


def test_order_differs_between_epochs_and_seeds():
    orders = {tuple(batch_indices(100, 100 * epoch, 100, seed).tolist()) for epoch in range(5) for seed in range(5)}
    assert len(orders) == 25


def test_mix_gives_distinct_and_spread_seeds():
    seeds = [mix(seed, seen, purpose) for seed in range(20) for seen in range(0, 6400, 64) for purpose in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    bits = [sum(seed >> bit & 1 for seed in seeds) / len(seeds) for bit in range(63)]
    assert all(0.45 < share < 0.55 for share in bits)
    assert mix(1, 2) != mix(2, 1) and mix(0) != mix(0, 0)


# --- what a batch is made of --------------------------------------------------------------------------------------


def test_batch_is_a_function_of_the_images_seen_alone():
    one, other = trainer(), trainer()
    torch.manual_seed(1)
    first = one._global_batch()
    torch.manual_seed(2)
    second = other._global_batch()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other.seen += 16
    assert not any(torch.equal(a, b) for a, b in zip(first, other._global_batch(), strict=True))


def test_batch_holds_the_images_and_their_labels():
    data = digits(256, 8)
    x0, y, t, noise = trainer(label_dropout=0.0)._global_batch()
    index = batch_indices(256, 0, 16, 0)
    assert torch.equal(x0, to_float(data.images[index]))
    assert torch.equal(y, data.labels[index])
    assert t.dtype == torch.int64 and noise.shape == x0.shape


def test_share_of_dropped_labels():
    _, y, _, _ = trainer(batch_size=10_000, images=10_000, label_dropout=0.3)._global_batch()
    share = float((y == 10).float().mean())
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 10_000))
    kept = y != 10
    assert torch.equal(y[kept], digits(256, 8).labels[batch_indices(256, 0, 10_000, 0)][kept])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_label_or_every_label_is_dropped(share):
    _, y, _, _ = trainer(label_dropout=share)._global_batch()
    assert bool((y == 10).all()) == bool(share)


def test_unconditional_training_has_no_labels():
    assert trainer(unet=dataclasses.replace(SMALL, num_classes=None))._global_batch()[1] is None


def test_flip_mirrors_half_of_the_images():
    x0 = trainer(batch_size=2000, images=2000, flip=True)._global_batch()[0]
    plain = to_float(digits(256, 8).images[batch_indices(256, 0, 2000, 0)])
    same = (x0 == plain).flatten(1).all(1)
    mirrored = (x0 == plain.flip(-1)).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert float(mirrored.float().mean()) == pytest.approx(0.5, abs=0.06)
    assert torch.equal(trainer(batch_size=2000, images=2000)._global_batch()[0], plain)


def test_stratified_timesteps_fill_every_stratum_once():
    t = trainer(batch_size=200, images=200, stratify=True)._global_batch()[2]
    assert sorted((t * 200 // 1000).tolist()) == list(range(200))
    assert t.tolist() != sorted(t.tolist())


def test_timesteps_cover_the_whole_range_evenly():
    t = torch.cat([trainer(batch_size=5000, images=5000, stratify=False, seed=seed)._global_batch()[2] for seed in range(4)])
    assert (int(t.min()), int(t.max())) == (0, 999)
    counts = (t // 100).bincount(minlength=10)
    assert (counts - 2000).abs().max() < 4.5 * math.sqrt(1800)


def test_noise_is_standard_normal():
    noise = trainer(batch_size=2000, images=2000)._global_batch()[3].double()
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.var()) == pytest.approx(1, abs=0.02)


# --- a step, and many ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"grad_clip": 0.05, "weight_decay": 0.1, "flip": True, "stratify": False}])
def test_steps_equal_plain_torch(changes):
    """Forward process, v target, clipping and AdamW written out; only the draws are the trainer's own."""
    ours = trainer(lr=0.01, **changes)
    config = ours.config
    model, diffusion = build()
    alpha_bar = torch.cumprod(1 - diffusion.schedule.betas.double(), 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=config.betas, weight_decay=config.weight_decay, foreach=False)
    for step in range(5):
        x0, y, t, noise = ours._global_batch()
        signal, sigma = (a.float().reshape(-1, 1, 1, 1) for a in (alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()))
        error = model(signal * x0 + sigma * noise, t, y) - (signal * noise - sigma * x0)
        optimizer.zero_grad()
        (error**2).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.param_groups[0]["lr"] = learning_rate(config, 16 * step)
        optimizer.step()
        ours.step()
        for mine, theirs in zip(ours.model.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=2e-5)
    assert ours.seen == 80


@pytest.mark.parametrize("batch_size", [16, 64])
def test_ema_half_life_is_counted_in_images(batch_size):
    decay = trainer(ema_images=6400, batch_size=batch_size).ema.max_decay
    assert decay ** (6400 / batch_size) == pytest.approx(0.5)


def test_every_parameter_has_exactly_one_optimiser():
    one = trainer(muon_lr=0.01)
    owned = [parameter for optimizer, _ in one.optimizers for group in optimizer.param_groups for parameter in group["params"]]
    assert len(owned) == len(set(owned)) == len(list(one.model.parameters()))
    assert len(one.optimizers) == 2


def test_muon_trains():
    losses = [record["loss"] for record in run(images=1600, lr=5e-3, muon_lr=0.02, log_images=160).history]
    assert losses[-1] < 0.8 * losses[0]


def test_loss_goes_down_and_the_average_is_returned_ready():
    result = run(images=1600, lr=1e-2, ema_images=200, log_images=160)
    losses = [record["loss"] for record in result.history]
    assert losses[-1] < 0.8 * losses[0]
    assert not result.model.training
    assert result.images_seen == 1600 and result.dtype == "float32"
    assert result.images_per_second == pytest.approx(1600 / result.seconds)


def test_points_in_a_plane_are_learned_like_images():
    """The targets are the closed form: for data N(m, s^2), the best guess of x_0 is the GaussianDenoiser's."""
    schedule, std = NoiseSchedule.linear(), 0.3
    points = std * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.4, -0.2])

    class Gain(nn.Module):  # a linear map for each tenth of t, so that the best it can do is known
        def __init__(self):
            super().__init__()
            self.gain, self.shift = nn.Parameter(torch.zeros(10, 1)), nn.Parameter(torch.zeros(10, 2))

        def forward(self, xt, t, y=None):
            assert y is None
            return self.gain[t // 100] * xt + self.shift[t // 100]

    config = TrainConfig(images=200_000, batch_size=500, lr=0.05, ema_images=10_000, dtype="float32")
    result = training.train(Gain(), Diffusion(schedule, "x0"), points, config)
    for t in (150, 350, 650):
        xt = torch.tensor([[0.5, 0.5], [-0.5, 0.0]])
        exact = GaussianDenoiser(torch.tensor([0.4, -0.2]), std, schedule)(xt, torch.full((2,), t))
        assert (result.model(xt, torch.full((2,), t)) - exact).abs().max() < 0.06
    assert sample(Diffusion(schedule, "x0"), result.model, n=3, shape=(2,)).shape == (3, 2)
    with pytest.raises(ValueError, match="Gain does not say what it draws: pass shape="):
        sample(Diffusion(schedule, "x0"), result.model, n=3)


def test_last_partial_batch_is_left_out():
    assert run(images=100).images_seen == 96


def test_history_has_one_record_each_time_and_the_last(tmp_path):
    seen = []
    result = run(tmp_path, images=160, log_images=50, report=lambda record: seen.append(dict(record)))
    assert [record["images"] for record in result.history] == [64, 112, 160]
    assert seen == result.history
    assert [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()] == result.history
    for record in result.history:
        assert set(record) == {"images", "of", "loss", "loss_by_decile", "lr", "images_per_second", "seconds_left"}
        assert record["of"] == 160 and len(record["loss_by_decile"]) == 10
        assert math.isfinite(record["loss"]) and record["images_per_second"] > 0
        assert record["lr"] == learning_rate(dataclasses.replace(TRAIN, images=160), record["images"] - 16)
    assert result.history[-1]["seconds_left"] == 0


def test_recorded_loss_is_the_mean_of_the_losses():
    """A fresh network says 0, so its loss is the mean square of the target; without learning it stays so."""
    one = trainer(lr=1e-30, images=160, log_images=160)
    targets, deciles = [], [[] for _ in range(10)]
    for _ in range(10):
        x0, _, t, noise = one._global_batch()
        values = one.diffusion.target(x0, noise, t).square().flatten(1).mean(1)
        targets += values.tolist()
        for value, step in zip(values.tolist(), t.tolist(), strict=True):
            deciles[step // 100].append(value)
        one.step()
    one._log(160)
    (record,) = one.history
    assert record["loss"] == pytest.approx(sum(targets) / len(targets), rel=1e-5)
    assert record["loss_by_decile"] == [pytest.approx(sum(part) / len(part), rel=1e-5) for part in deciles]


def test_global_random_state_is_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    run(images=64)
    assert torch.equal(torch.rand(3), wanted)


def test_beside_the_main_thread_the_global_random_state_is_not_even_touched(monkeypatch):
    """A notebook's cells draw from it while a thread trains."""
    (model, diffusion), found, touched = build(), [], []
    config = dataclasses.replace(TRAIN, images=64)
    monkeypatch.setattr(torch, "manual_seed", touched.append)
    monkeypatch.setattr(torch.random, "fork_rng", touched.append)
    thread = threading.Thread(target=lambda: found.append(train(model, diffusion, digits(256, 8), config, device="cpu")))
    thread.start()
    thread.join()
    monkeypatch.undo()
    assert not touched
    assert all(torch.equal(a, b) for a, b in zip(found[0].model.parameters(), run(images=64).model.parameters(), strict=True))


def test_same_seed_same_weights_other_seed_other_weights():
    first, second, third = (run(images=64, seed=seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_dropout_layers_are_seeded_by_the_config():
    unet = dataclasses.replace(SMALL, dropout=0.3)
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        results.append(run(images=64, model=build(unet=unet)[0]).model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_what_stands_in_a_run_directory(tmp_path):
    run(tmp_path, images=128, preview_images=64)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["images_seen"] == 128 and card["train"]["seed"] == 0 and card["dtype"] == "float32"
    assert card["data"]["images"] == 256 and card["data"]["class_names"] == list("0123456789")
    assert card["device"].startswith("cpu") and card["torch"] == torch.__version__
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == ["000000064.png", "000000128.png"]
    average = load_file(tmp_path / "model.safetensors")
    state = load_file(tmp_path / "state.safetensors")
    assert all(torch.equal(average[name], state[f"ema.{name}"]) for name in average)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_tensorboard_gets_scalars_and_samples(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = run(tmp_path, images=128, preview_images=64)
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    assert {"loss", "lr", "images_per_second"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["samples"]
    assert [event.step for event in events.Scalars("loss")] == [64, 128]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([record["loss"] for record in result.history])


def test_preview_has_a_column_for_each_label(tmp_path):
    from PIL import Image

    run(tmp_path, images=64, preview_images=64)
    with Image.open(tmp_path / "previews" / "000000064.png") as picture:
        assert picture.size == (10 * 9 + 1, 4 * 9 + 1)  # 8 pixels and a line between


def test_previews_and_snapshots_come_with_the_next_log(tmp_path):
    run(tmp_path, images=320, log_images=60, preview_images=100, snapshot_images=150)  # batches of 16: logs at 64, 128, 192, 240, 304, 320
    assert sorted(int(p.stem) for p in (tmp_path / "previews").iterdir()) == [128, 240, 304]
    assert sorted(int(p.stem) for p in (tmp_path / "snapshots").iterdir()) == [192, 304]


def test_snapshots_are_the_averages_of_their_moments(tmp_path):
    run(tmp_path, images=128, snapshot_images=64)
    assert sorted(p.name for p in (tmp_path / "snapshots").iterdir()) == ["000000064.safetensors", "000000128.safetensors"]
    early, last, model = (load_checkpoint(tmp_path / name) for name in (
        "snapshots/000000064.safetensors", "snapshots/000000128.safetensors", "model.safetensors"))
    assert [loaded.card["images_seen"] for loaded in (early, last, model)] == [64, 128, 128]
    wanted = model.model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in last.model.state_dict().items())
    assert any(not torch.equal(value, wanted[name]) for name, value in early.model.state_dict().items())


def test_bfloat16_trains_and_keeps_float32_weights():
    result = run(images=64, dtype="bfloat16")
    assert result.dtype == "bfloat16"
    assert {p.dtype for p in result.model.parameters()} == {torch.float32}
    assert all(p.isfinite().all() for p in result.model.parameters())


# --- settings that cannot be -------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"dtype": "float16"}, {"lr": 0.0}, {"lr": math.nan}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError, match="batch|dtype|lr"):
        TrainConfig(**changes)


def test_fewer_images_than_a_batch_says_both_numbers():
    with pytest.raises(ValueError, match=r"images=15.*batch of 16"):
        TrainConfig(images=15, batch_size=16)


def test_settings_come_back_from_json():
    config = TrainConfig(betas=(0.8, 0.9))
    assert TrainConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


# --- a loss that is not finite ------------------------------------------------------------------------------------


def with_a_bad_image(position: int) -> ImageData:
    """Real digits as floats; the image that the stream of seed 0 shows at `position` is not a number."""
    data = digits(256, 8)
    images = to_float(data.images)
    images[batch_indices(256, position, 1, 0)] = math.nan
    return dataclasses.replace(data, images=images)


def image_in(error) -> int:
    return int(re.search(r"at image ([\d,]+)", str(error.value)).group(1).replace(",", ""))


@pytest.mark.parametrize("position", [5, 77, 250])
def test_nan_names_the_image_and_the_remedy(position):
    with pytest.raises(TrainingError, match="smaller lr.*seed") as error:
        run(data=with_a_bad_image(position))
    assert image_in(error) == position // 16 * 16
    assert "checkpoint" not in str(error.value)


def test_nan_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="checkpoint in") as error:
        run(tmp_path, with_a_bad_image(250))
    assert image_in(error) == 240
    assert_finite_and_loadable(tmp_path, before=240)
    kept = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(TrainingError) as again:
        run(tmp_path, with_a_bad_image(250))
    assert image_in(again) == 240
    assert (tmp_path / "state.safetensors").read_bytes() == kept
    assert not (tmp_path / "model.safetensors").exists()


def test_weights_that_turn_nan_are_never_kept(tmp_path):
    model = build()[0]
    calls = []

    def spoil(module, args):
        calls.append(1)
        if len(calls) == 14:
            module.inlet.weight.data[0, 0, 0, 0] = math.nan

    model.register_forward_pre_hook(spoil)
    with pytest.raises(TrainingError) as error:
        run(tmp_path, model=model)
    assert image_in(error) == 13 * 16
    assert_finite_and_loadable(tmp_path, before=13 * 16)


def test_an_interrupt_after_the_nan_keeps_no_lost_weights_and_names_the_image(tmp_path):
    def stop(record):
        if record["images"] == 192:
            raise RuntimeError("stop here")

    data = with_a_bad_image(200)
    with pytest.raises(RuntimeError, match="stop here"):
        run(tmp_path, data, report=stop)
    before = (tmp_path / "state.safetensors").read_bytes()
    one = Trainer(*build(), data, TRAIN, CPU, tmp_path)
    while one.seen < 224:
        one.step()
    with pytest.raises(TrainingError) as error:
        one._save()
    assert image_in(error) == 192
    assert (tmp_path / "state.safetensors").read_bytes() == before


# --- two runs, another run, a folder that cannot be written -------------------------------------------------------


def test_a_run_directory_in_use_is_refused(tmp_path):
    with FileLock(tmp_path / "lock"), pytest.raises(TrainingError, match=r"Another process.*another folder"):
        run(tmp_path, images=64)
    run(tmp_path, images=64)


@pytest.mark.parametrize(
    ("changes", "named"), [({"lr": 1e-4}, r"train\.lr is 0\.002, not 0\.0001"), ({"seed": 1}, r"train\.seed is 0, not 1"),
                           ({"images": 32}, r"train\.images is 64, not 32")],
)
def test_another_run_in_the_directory_is_named(tmp_path, changes, named):
    run(tmp_path, images=64)
    kept = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=named + ".*(another folder|delete)"):
        run(tmp_path, **{"images": 64} | changes)
    assert (tmp_path / "state.safetensors").read_bytes() == kept


def test_another_network_in_the_directory_is_named(tmp_path):
    run(tmp_path, images=64)
    with pytest.raises(TrainingError, match=r"unet\.blocks is 1, not 2"):
        run(tmp_path, images=64, model=build(unet=dataclasses.replace(SMALL, blocks=2))[0])


def test_other_data_in_the_directory_are_named(tmp_path):
    run(tmp_path, images=64)
    with pytest.raises(TrainingError, match=r"256 images.*not on the 100"):
        run(tmp_path, digits(100, 8), images=64)


def test_a_state_cut_short_is_named(tmp_path):
    run(tmp_path, images=64)
    state = tmp_path / "state.safetensors"
    whole = state.read_bytes()
    for length in (0, 7, 200, len(whole) // 2, len(whole) - 1):
        state.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"state\.safetensors is cut short.*(Restore|delete)"):
            run(tmp_path, images=64)


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"Cannot write in .*file.*another folder"):
        run(tmp_path / "file" / "run", images=64)


def test_no_permission_to_write(tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(training.FileLock, "acquire", refuse)
    with pytest.raises(TrainingError, match=r"Permission denied.*another folder"):
        run(tmp_path, images=64)


@pytest.mark.parametrize("labels", [[0, 10], [-1, 3]])
def test_labels_that_the_network_does_not_know_are_refused(labels):
    """A label of num_classes would be the null label, and nobody would know."""
    data = dataclasses.replace(digits(2, 8), labels=torch.tensor(labels))
    with pytest.raises(TrainingError, match=r"0\.\.9.*run from"):
        run(data=data)


def test_a_network_with_labels_does_not_learn_from_a_tensor_alone():
    with pytest.raises(TrainingError, match="takes labels"):
        run(data=torch.zeros(16, 1, 8, 8))


def test_no_images_is_said():
    with pytest.raises(TrainingError, match="no images"):
        run(data=digits(2, 8)[torch.tensor([], dtype=torch.int64)])


# --- a full disk --------------------------------------------------------------------------------------------------


class Full:
    """The disk is full from the n-th time on that tensors are written."""

    def __init__(self, monkeypatch, n):
        self.left, self.write = n, checkpoints.save_file
        monkeypatch.setattr(checkpoints, "save_file", self)

    def __call__(self, tensors, path, metadata=None):
        self.left -= 1
        self.write(tensors, path, metadata=metadata)
        if self.left < 0:
            os.truncate(path, 1000)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def undisturbed():
    return run(images=256).model.state_dict()


@pytest.mark.parametrize("writes", [0, 1, 3, 4])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, writes, undisturbed):
    """256 images make three states, a fourth at the end, and then the average."""
    with monkeypatch.context() as patch:
        Full(patch, writes)
        with pytest.raises(CheckpointError, match=r"disk is full.*Free some space"):
            run(tmp_path / "run", images=256)
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]
    if writes:
        assert_finite_and_loadable(tmp_path / "run", before=64 * writes)
    got = run(tmp_path / "run", images=256).model.state_dict()
    assert all(torch.equal(got[name], undisturbed[name]) for name in got)
    assert (tmp_path / "run" / "model.safetensors").is_file()


def train_with_a_limit_on_files(run_dir, limit, answer):
    torch.set_num_threads(1)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run(run_dir, images=256)
        answer.put("done")
    except BaseException as error:
        answer.put(f"{type(error).__name__}: {error}")


def in_a_process(target, *arguments, timeout=120):
    context = multiprocessing.get_context("forkserver")
    answer = context.SimpleQueue()
    process = context.Process(target=target, args=(*arguments, answer))
    process.start()
    process.join(timeout)
    assert process.exitcode == 0
    return answer.get()


def test_a_real_write_that_fails_loses_nothing(tmp_path):
    """The operating system refuses to let any file grow beyond half of the state."""

    def stop(record):
        if record["images"] == 192:
            raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        run(tmp_path, images=256, report=stop)
    state = tmp_path / "state.safetensors"
    before = state.read_bytes()
    assert in_a_process(train_with_a_limit_on_files, tmp_path, len(before) // 2).startswith("CheckpointError: Cannot write")
    assert state.read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert in_a_process(train_with_a_limit_on_files, tmp_path, 0) == "done"


def test_a_preview_that_cannot_be_written_is_one_clear_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(training, "write_png", full)
    with pytest.raises((CheckpointError, TrainingError), match="disk is full.*Free some space"):
        run(tmp_path, images=256, preview_images=128)
    assert_finite_and_loadable(tmp_path, before=128)


def test_random_kinds_of_settings_train_a_few_images(tmp_path):
    dice = random.Random(3)
    for k in range(4):
        changes = {"flip": dice.random() < 0.5, "stratify": dice.random() < 0.5, "label_dropout": dice.choice([0, 0.5]),
                   "batch_size": dice.choice([1, 7, 32]), "weight_decay": 0.1 * k, "log_images": dice.choice([1, 1000])}
        result = run(tmp_path / str(k), images=64, **changes)
        assert math.isfinite(result.history[-1]["loss"])


# --- how long -----------------------------------------------------------------------------------------------------


def test_plan_is_monotone_and_within_bounds():
    plans = [plan_images(speed, 300, 1000, 9000) for speed in np.geomspace(0.1, 1e6, 2000)]
    assert all(a <= b for a, b in itertools.pairwise(plans))
    assert plans[0] == 1000 and 1000 < plans[-1] <= 9000


def test_plan_uses_most_of_the_time_and_never_more():
    for images in np.geomspace(20_100, 600_000, 100):
        seconds = plan_images(images / 200, 200) / (images / 200)
        assert 200 / 1.21 < seconds <= 200


def test_a_little_jitter_rarely_changes_the_plan():
    dice = random.Random(0)
    speeds = np.geomspace(100, 1500, 500)
    assert sum(plan_images(speed, 300) == plan_images(speed * dice.uniform(0.99, 1.01), 300) for speed in speeds) > 450


def test_what_was_begun_is_known_by_its_card(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "measure_speed", lambda *_: 1000.0)
    fresh = planned(tmp_path, *build(), digits(256, 8), TRAIN, CPU, seconds=100)
    assert begun(tmp_path) is None and fresh == plan_images(1000, 100) > 80_000
    run(tmp_path, images=128)
    assert begun(tmp_path)["train"]["images"] == 128
    assert planned(tmp_path, *build(), digits(256, 8), TRAIN, CPU, seconds=100) == 128
    (tmp_path / "card.json").write_text("{")
    assert begun(tmp_path) is None


def test_a_run_killed_before_its_first_save_keeps_its_plan(tmp_path, monkeypatch):
    def killed(self):
        raise MemoryError

    monkeypatch.setattr(Trainer, "step", killed)
    with pytest.raises(MemoryError):
        train(*build(), digits(256, 8), TRAIN, tmp_path, device="cpu")
    assert not (tmp_path / "state.safetensors").exists()
    assert planned(tmp_path, *build(), digits(256, 8), TRAIN, CPU, seconds=100) == TRAIN.images
