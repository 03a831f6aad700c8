"""Recipes: each builds, and each trains a few real images."""

import dataclasses
import math
import os

import pytest
import torch
from tiny import digits, randn

from ddpm_course.data import CIFAR10_CLASSES, ImageData, load_data
from ddpm_course.recipes import RECIPES, get_recipe
from ddpm_course.training import train

CPU = torch.device("cpu")
ALL = list(RECIPES)
WANTED = ["demo", "mnist", "mnist-unconditional", "cifar10-cpu", "cifar10-colab", "cifar10-full"]


def noise_pictures(n, size, classes, channels=3):
    images = (randn(n, channels, size, size, seed=n) * 64 + 128).clamp(0, 255).to(torch.uint8)
    return ImageData(images, torch.arange(n) % classes, tuple(f"class{k}" for k in range(classes)), "noise")


@pytest.fixture(scope="module")
def cifar():
    """Real images where there are some."""
    root = os.environ.get("DDPM_COURSE_DATA", "")
    if os.path.isfile(os.path.join(root, "cifar10-jpeg.tar.xz")) or os.path.isdir(os.path.join(root, "cifar-10-batches-py")):
        return load_data("cifar10", split="test", download=False)[:64]
    return dataclasses.replace(noise_pictures(64, 32, 10), class_names=CIFAR10_CLASSES)


def test_the_promised_recipes_are_there():
    assert ALL == WANTED
    assert all(recipe.name == name and recipe.description for name, recipe in RECIPES.items())


def test_unknown_recipe_lists_the_names():
    with pytest.raises(ValueError, match="'cifar100'.*" + ".*".join(WANTED)):
        get_recipe("cifar100")


@pytest.mark.parametrize("name", ALL)
def test_recipe_builds_for_its_data(name):
    recipe = get_recipe(name)
    model, diffusion = recipe.build()
    assert recipe.data in ("mnist", "cifar10")
    shape = (1, 28) if recipe.data == "mnist" else (3, 32)
    assert (model.config.in_channels, model.config.image_size) == shape
    assert (model.null_label is None) == (name == "mnist-unconditional")
    assert diffusion.prediction == recipe.prediction
    assert float(diffusion.schedule.alpha_bar[-1]) < 1e-3  # sampling starts from pure noise


def test_size_of_the_full_recipe():
    count = sum(p.numel() for p in get_recipe("cifar10-full").build()[0].parameters())
    assert 12e6 < count < 18e6


@pytest.mark.parametrize("name", ALL)
def test_recipe_trains_a_few_real_images(name, cifar, tmp_path):
    recipe = get_recipe(name)
    data = digits(64) if recipe.data == "mnist" else cifar
    model, diffusion = recipe.build()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    small = 2 if name == "cifar10-full" else 8
    config = dataclasses.replace(recipe.train, images=2 * small, batch_size=small, compile=False, dtype="float32", preview_images=0)
    result = train(model, diffusion, data, config, tmp_path, device=CPU)
    assert result.images_seen == 2 * small
    assert math.isfinite(result.history[-1]["loss"]) and 0.1 < result.history[-1]["loss"] < 10
    after = result.model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(before[key], value) for key, value in after.items())


@pytest.mark.parametrize("name", ALL)
def test_recipe_is_fitted_to_other_pictures(name):
    data = noise_pictures(6, 16, 3)
    recipe = get_recipe(name).fitted_to(data)
    model, diffusion = recipe.build()
    assert model.config.in_channels == 3 and model.config.image_size == 16
    assert model.null_label == (None if name == "mnist-unconditional" else 3)
    y = None if model.null_label is None else data.labels
    losses = diffusion.loss(model, data.images.float() / 127.5 - 1, y, generator=torch.Generator().manual_seed(0))
    assert losses.shape == (6,) and losses.isfinite().all()


def test_fitting_leaves_the_recipe_as_it_is():
    before = get_recipe("demo")
    before.fitted_to(noise_pictures(6, 16, 3))
    assert get_recipe("demo") is before and before.unet.image_size == 28


def test_pictures_that_do_not_divide_name_the_divisor():
    with pytest.raises(ValueError, match="divisible by"):
        get_recipe("demo").fitted_to(noise_pictures(4, 15, 2)).build()


def test_seed_changes_the_weights_and_nothing_else():
    recipe = get_recipe("demo")
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    one, again, other = (recipe.build(seed)[0].state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_the_recipes_own_seed_is_the_default():
    recipe = get_recipe("demo")
    default, named = recipe.build()[0].state_dict(), recipe.build(recipe.train.seed)[0].state_dict()
    assert all(torch.equal(default[key], named[key]) for key in default)


@pytest.mark.parametrize("name", ALL)
def test_budgets_make_sense(name):
    train_config = get_recipe(name).train
    assert train_config.warmup_images < train_config.images / 2
    assert train_config.ema_images < train_config.images / 2
    assert train_config.log_images < train_config.images
    assert get_recipe(name).unet.num_classes is None or 0 < train_config.label_dropout < 0.5
    assert train_config.flip == (get_recipe(name).data == "cifar10")  # a mirrored digit is no digit
