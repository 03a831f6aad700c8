"""The drawn stand-in: the same for a seed, varied, and the same through a folder of files."""

import time

import torch

from ddpm_course import load_data
from ddpm_course.classroom.drawn import THINGS, drawn_data, drawn_folder
from ddpm_course.judge import train_judge
from ddpm_course.metrics import nearest_neighbours


def test_a_picture_depends_on_its_seed_and_place_alone():
    some, more, other = drawn_data(30), drawn_data(50), drawn_data(30, seed=1)
    assert some.images.dtype == torch.uint8 and some.images.shape == (30, 3, 32, 32) and len(some.class_names) == 10
    assert torch.equal(some.images, more.images[:30]) and torch.equal(some.labels, torch.arange(30) % 10)
    assert not torch.equal(some.images, other.images)
    assert drawn_data(0).images.shape == (0, 3, 32, 32) and drawn_data(10, size=20).images.shape[-1] == 20


def test_no_two_are_alike_and_none_is_blank():
    data = drawn_data(600)
    distances, _ = nearest_neighbours(data.images, data.images, same=True)
    assert distances.min() > 3  # of 64 between black and white
    assert data.images.float().flatten(1).std(1).min() > 20


def test_a_thousand_take_seconds():
    began = time.process_time()
    drawn_data(1000)
    assert time.process_time() - began < 10


def test_the_folder_holds_the_same_pictures(tmp_path):
    data, read = drawn_data(40, size=16, seed=3), load_data(drawn_folder(tmp_path / "drawn", n=40, size=16, seed=3))
    assert read.class_names == data.class_names == tuple(THINGS) == tuple(sorted(THINGS))
    assert torch.equal(read.images, data.images[data.labels.argsort(stable=True)])


def test_a_judge_tells_the_things_apart():
    data, fresh = drawn_data(600, size=16), drawn_data(200, size=16, seed=1)
    judge = train_judge(data, images=7_680)
    assert (judge(fresh.images).argmax(1) == fresh.labels).float().mean() > 0.9
