"""Checkpoints: there and back, cut short, of another shape, and those that are shipped."""

import dataclasses
import errno
import json
import os
import random
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import SMALL, TRAIN, build, randn, run

from ddpm_course import checkpoints
from ddpm_course.checkpoints import (
    SHIPPED,
    CheckpointError,
    load_checkpoint,
    load_judge,
    load_previews,
    model_card,
    read_tensors,
    save_model,
    shipped_names,
    write_json,
    write_tensors,
)
from ddpm_course.data import to_uint8
from ddpm_course.judge import Judge
from ddpm_course.sampling import sample
from ddpm_course.schedule import NoiseSchedule

NAMES = shipped_names()


@pytest.fixture
def saved(tmp_path):
    """A small model with random weights, on disk."""
    model, diffusion = build(unet=SMALL)
    for k, parameter in enumerate(model.parameters()):
        parameter.data = randn(*parameter.shape, seed=k) * 0.1
    path = tmp_path / "model.safetensors"
    save_model(path, model, model_card(model, diffusion))
    return path, model.eval(), diffusion


def output(model):
    with torch.no_grad():
        return model(randn(3, 1, 8, 8, seed=5), torch.tensor([0, 500, 999]), torch.tensor([1, 7, 10]))


def test_float32_comes_back_bit_for_bit(saved):
    path, model, diffusion = saved
    loaded = load_checkpoint(path)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.model.state_dict().values(), strict=True))
    assert torch.equal(output(model), output(loaded.model))
    assert loaded.model.config == model.config and not loaded.model.training
    assert loaded.diffusion.prediction == diffusion.prediction
    assert torch.equal(loaded.diffusion.schedule.log_alpha_bar, diffusion.schedule.log_alpha_bar)


def test_float16_halves_the_file_and_comes_back_as_float32(saved, tmp_path):
    path, model, diffusion = saved
    save_model(tmp_path / "half.safetensors", model, model_card(model, diffusion), torch.float16)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.65 * path.stat().st_size
    loaded = load_checkpoint(tmp_path / "half.safetensors").model
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    for a, b in zip(model.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=2**-10, atol=1e-7)
    torch.testing.assert_close(output(loaded), output(model), rtol=0.02, atol=0.02)


def test_large_weights_lie_in_several_files(saved, tmp_path):
    _, model, diffusion = saved
    path, largest = tmp_path / "large.safetensors", 20_000
    save_model(path, model, model_card(model, diffusion), largest=largest)
    files = sorted(tmp_path.glob("large*.safetensors"))
    assert len(files) == read_tensors(path)[1]["files"] > 2
    biggest = max(tensor.nbytes for tensor in model.state_dict().values())
    assert all(file.stat().st_size < max(largest, biggest) + 20_000 for file in files)
    assert torch.equal(output(model), output(load_checkpoint(path).model))
    other = tmp_path / "other.safetensors"
    save_model(other, model, {**model_card(model, diffusion), "seed": 1}, largest=largest)
    other.with_suffix(".part1.safetensors").replace(path.with_suffix(".part1.safetensors"))
    with pytest.raises(CheckpointError, match=r"large\.part1\.safetensors does not belong to .*fetch both again"):
        load_checkpoint(path)
    path.with_suffix(".part1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"No checkpoint at .*large\.part1"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "schedule", [NoiseSchedule.linear(50), NoiseSchedule.cosine(30, s=0.01), NoiseSchedule.from_betas([0.1, 0.2, 0.5])],
    ids=["linear", "cosine", "from_betas"],
)
@pytest.mark.parametrize(("prediction", "gamma"), [("eps", 5.0), ("x0", None)])
def test_diffusion_comes_back(tmp_path, schedule, prediction, gamma):
    model, diffusion = build(unet=SMALL)
    diffusion = type(diffusion)(schedule, prediction, gamma)
    save_model(tmp_path / "m.safetensors", model, model_card(model, diffusion))
    loaded = load_checkpoint(tmp_path / "m.safetensors").diffusion
    assert torch.equal(loaded.schedule.betas, schedule.betas)
    assert (loaded.prediction, loaded.min_snr_gamma) == (prediction, gamma)


def test_card_inside_equals_the_card_beside(saved):
    path, model, _ = saved
    inside = read_tensors(path)[1]
    assert inside == json.loads(path.with_suffix(".json").read_text())
    assert inside["unet"] == json.loads(json.dumps(dataclasses.asdict(model.config)))


def test_share_of_dropped_labels_comes_back(tmp_path):
    result = run(tmp_path, images=16, label_dropout=0.25)
    assert load_checkpoint(tmp_path).model.label_dropout == result.model.label_dropout == 0.25


def test_folder_of_a_run_and_its_state_give_the_average(tmp_path):
    result = run(tmp_path, images=48)
    for path in (tmp_path, str(tmp_path), tmp_path / "model.safetensors", tmp_path / "state.safetensors"):
        loaded = load_checkpoint(path).model.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in result.model.state_dict().items())
    (tmp_path / "model.safetensors").unlink()
    loaded = load_checkpoint(tmp_path).model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in result.model.state_dict().items())
    state = load_file(tmp_path / "state.safetensors")
    assert any(not torch.equal(loaded[name], state[f"model.{name}"]) for name in loaded)


def test_previews_come_back_as_images(tmp_path):
    """The last preview is what the averaged weights of the end draw, image by image."""
    result = run(tmp_path, images=96, preview_images=32, log_images=16)
    previews = load_previews(tmp_path)
    assert list(previews) == [32, 64, 96]
    drawn = to_uint8(sample(build()[1], result.model, labels=torch.arange(40) % 10, seed=TRAIN.seed))
    last = previews[96]
    assert last.dtype == torch.uint8
    assert torch.equal(last, drawn.expand(last.shape))
    (tmp_path / "previews" / ".000000096.png.abc.png").write_bytes(b"half a picture")  # what a kill leaves
    assert list(load_previews(tmp_path)) == [32, 64, 96]
    run(tmp_path / "without", images=32)
    with pytest.raises(CheckpointError, match="No previews in .*preview_images above 0"):
        load_previews(tmp_path / "without")


# --- what cannot be read ------------------------------------------------------------------------------------------


def test_unknown_name_lists_the_shipped_ones():
    with pytest.raises(CheckpointError, match="'no-such-model'.*path") as error:
        load_checkpoint("no-such-model")
    assert all(name in str(error.value) for name in NAMES)


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()  # as torchvision makes one for the data
    assert load_checkpoint("mnist").card["measured"]


def test_empty_folder(tmp_path):
    with pytest.raises(CheckpointError, match="folder without model.safetensors"):
        load_checkpoint(tmp_path)


def test_a_file_cut_anywhere_is_a_checkpoint_error(saved):
    path, *_ = saved
    whole = path.read_bytes()
    dice = random.Random(0)
    lengths = [0, 1, 7, 8, 9, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(40)), *(dice.randrange(3000) for _ in range(40))]
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=re.escape(str(path)) + ".*(Restore|delete)"):
            load_checkpoint(path)


def test_wrong_bytes_in_the_header_never_escape_as_another_error(saved):
    path, *_ = saved
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    dice = random.Random(1)
    refused = 0
    for _ in range(200):
        spot = dice.randrange(8 + header)
        path.write_bytes(whole[:spot] + bytes([dice.randrange(256)]) + whole[spot + 1 :])
        try:
            load_checkpoint(path)
        except ValueError as error:  # CheckpointError, or the plain word of what the card asks for
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"hello, this is no checkpoint", b"PK\x03\x04" + bytes(100), bytes(1000), b"\xff" * 64])
def test_something_else_is_a_checkpoint_error(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no checkpoint of this course"):
        load_checkpoint(path)


def test_safetensors_without_a_card(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint of this course"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_weights_of_another_shape_name_the_first_difference(saved, tmp_path):
    path, model, diffusion = saved
    other = build(unet=dataclasses.replace(SMALL, channels=(8, 24)))[0]
    save_model(path, other, model_card(model, diffusion))
    with pytest.raises(CheckpointError, match=r"another shape than the model: \S+ is \(.*\) in the file and \(.*\) in the model"):
        load_checkpoint(path)


def test_a_missing_and_a_superfluous_tensor_are_named(saved):
    path, model, diffusion = saved
    card = model_card(model, diffusion)
    tensors = dict(model.state_dict())
    gone = tensors.pop("inlet.bias")
    write_tensors(path, tensors, card)
    with pytest.raises(CheckpointError, match=r"inlet\.bias is missing in the file"):
        load_checkpoint(path)
    write_tensors(path, tensors | {"inlet.bias": gone, "extra": gone.clone()}, card)
    with pytest.raises(CheckpointError, match=r"extra .*unknown in the model"):
        load_checkpoint(path)


@pytest.mark.parametrize("change", [{"unet": {"in_channels": 1, "new_option": 3}}, {"diffusion": {}}, {"diffusion": {"schedule": None}}])
def test_a_card_of_another_version(saved, change):
    path, model, diffusion = saved
    write_tensors(path, model.state_dict(), model_card(model, diffusion) | change)
    with pytest.raises(CheckpointError, match="another version"):
        load_checkpoint(path)


@pytest.mark.parametrize("change", [{"format": 999}, {"unet": None}])
def test_a_card_of_no_unet(saved, change):
    path, model, diffusion = saved
    write_tensors(path, model.state_dict(), model_card(model, diffusion) | change)
    with pytest.raises(CheckpointError, match="no U-Net of this course"):
        load_checkpoint(path)


def test_a_judge_is_no_unet_and_a_unet_no_judge(saved, tmp_path):
    judge = Judge(image_size=8)
    save_model(tmp_path / "judge.safetensors", judge, {"judge": judge.arguments})
    with pytest.raises(CheckpointError, match="no U-Net"):
        load_checkpoint(tmp_path / "judge.safetensors")
    with pytest.raises(CheckpointError, match="no judge"):
        load_judge(str(saved[0]))
    loaded, _ = load_judge(str(tmp_path / "judge.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(judge.state_dict().values(), loaded.state_dict().values(), strict=True))


# --- what cannot be written ---------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    path, model, diffusion = saved
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(CheckpointError, match=r"disk is full \(\d+ MiB free\).*Free some space.*untouched"):
        save_model(path, model, model_card(model, diffusion))
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["model.json", "model.safetensors"]


def test_safetensors_own_word_for_a_full_disk_is_understood(saved, monkeypatch):
    import safetensors

    def fail(*_, **__):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    path, model, diffusion = saved
    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(CheckpointError, match="disk is full"):
        save_model(path, model, model_card(model, diffusion))


def test_no_permission_is_said(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(checkpoints, "atomic_file", refuse)
    with pytest.raises(CheckpointError, match="no permission to write in .*another folder"):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="no permission to write in .*another folder"):
        write_json(tmp_path / "x.json", {})


def test_a_path_below_a_file_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="Cannot write .*another folder"):
        write_tensors(tmp_path / "file" / "x.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="Cannot write .*another folder"):
        write_json(tmp_path / "file" / "x.json", {})


# --- what is shipped ----------------------------------------------------------------------------------------------


def test_a_judge_is_shipped():
    assert "judge-mnist" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_shipped_checkpoint_loads_and_its_cards_agree(name):
    card = load_judge(name)[1] if name.startswith("judge") else load_checkpoint(name).card
    assert card == json.loads((SHIPPED / f"{name}.json").read_text())
    tensors, _ = read_tensors(SHIPPED / f"{name}.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values())


@pytest.mark.parametrize("name", NAMES)
def test_shipped_card_names_no_path_of_a_machine(name):
    text = (SHIPPED / f"{name}.json").read_text()
    assert not re.search(r'(?<![\w.])/(home|root|tmp|work|usr|Users|mnt|data|content)\b|[A-Z]:\\\\', text)


def test_every_shipped_model_draws():
    for name in NAMES:
        if not name.startswith("judge"):
            loaded = load_checkpoint(name)
            wanted = {"n": 2} if loaded.model.null_label is None else {"labels": [0, 1]}
            images = sample(loaded.diffusion, loaded.model, timesteps=2, **wanted)
            assert images.isfinite().all() and images.std() > 0.05, name


def test_shipped_files_are_small_enough_for_a_repository():
    assert all(path.stat().st_size < 30 * 2**20 for path in SHIPPED.iterdir())


def test_every_shipped_file_has_its_card():
    assert {p.stem for p in SHIPPED.glob("*.json")} == set(NAMES)
