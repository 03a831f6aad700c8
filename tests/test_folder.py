"""Folders of pictures as people have them, against torchvision's ImageFolder where it reads them, too."""

import os
import unicodedata

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from tiny import picture

from ddpm_course import folder as module
from ddpm_course.data import DataError, load_data


def write_folder(root, kinds, shape=(12, 12, 3), seed=0):
    """kinds: path -> format."""
    for i, (name, kind) in enumerate(kinds.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(shape, seed + i, kind))
    return root


MIXED = {"cat/b.png": "PNG", "cat/a.JPG": "JPEG", "ant/10.bmp": "BMP", "ant/9.webp": "WEBP", "Dog/x.jpeg": "JPEG"}


def assert_equals_image_folder(ours, folder):
    theirs = torchvision.datasets.ImageFolder(folder)
    assert ours.class_names == tuple(theirs.classes)
    assert ours.labels.tolist() == theirs.targets
    for image, (their_image, _) in zip(ours.images, theirs, strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(their_image)[..., : len(image)])


def test_the_order_is_by_case_on_every_system(tmp_path, monkeypatch):
    """Windows compares paths without case: classes would have other numbers there."""
    write_folder(tmp_path, MIXED)
    monkeypatch.setattr(type(tmp_path), "__lt__", lambda one, other: str(one).lower() < str(other).lower())
    assert load_data(tmp_path).class_names == ("Dog", "ant", "cat")


def test_folder_equals_image_folder(tmp_path):
    write_folder(tmp_path, MIXED)
    data = load_data(tmp_path)
    assert data.images.shape == (5, 3, 12, 12) and data.images.dtype == torch.uint8
    assert_equals_image_folder(data, tmp_path)
    assert str(tmp_path) in data.source
    assert_equals_image_folder(load_data(str(tmp_path)), tmp_path)


def test_folder_with_train_and_test(tmp_path):
    write_folder(tmp_path / "train", MIXED)
    write_folder(tmp_path / "test", dict(list(MIXED.items())[::2]), seed=50)
    for split in ("train", "test"):
        assert_equals_image_folder(load_data(tmp_path, split=split), tmp_path / split)


def test_folder_without_test(tmp_path):
    write_folder(tmp_path, MIXED)
    with pytest.raises(DataError, match="no folder 'test'"):
        load_data(tmp_path, split="test")


def test_grey_folder_has_one_channel(tmp_path):
    write_folder(tmp_path, {"a/1.png": "PNG", "b/1.png": "PNG"}, shape=(12, 12))
    data = load_data(tmp_path)
    assert data.images.shape == (2, 1, 12, 12)
    assert_equals_image_folder(data, tmp_path)


@pytest.mark.parametrize("grey", [1, 25])
def test_one_colour_image_makes_the_folder_coloured(tmp_path, grey):
    write_folder(tmp_path, {f"a/{i:02d}.png": "PNG" for i in range(grey)}, shape=(12, 12))
    write_folder(tmp_path, {"b/1.png": "PNG"}, seed=99)
    data = load_data(tmp_path)
    assert data.images.shape == (grey + 1, 3, 12, 12)
    assert_equals_image_folder(data, tmp_path)


def test_one_broken_file_is_named(tmp_path):
    write_folder(tmp_path, MIXED)
    (tmp_path / "cat" / "c.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"c\.png is not a readable image.*(Delete|replace)"):
        load_data(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_a_file_cut_at_any_length_is_named_or_read(tmp_path, kind):
    whole = picture((12, 12), 3, kind)
    path = tmp_path / "a" / f"cut.{kind.lower()}"
    path.parent.mkdir()
    refused = 0
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        try:
            assert len(load_data(tmp_path)) == 1
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 10


def test_folder_without_images(tmp_path):
    with pytest.raises(DataError, match="No images in .*sub-folder per class"):
        load_data(tmp_path)
    write_folder(tmp_path, {"cat/notes.txt": "PNG", "cat/IMG_1.HEIC": "PNG", ".cat/hidden.png": "PNG"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"No images in .*\.heic, \.txt: pictures among them can be saved as PNG"):
        load_data(tmp_path)


def test_differing_sizes_need_a_size(tmp_path):
    write_folder(tmp_path, {"a/1.png": "PNG"}, shape=(12, 12, 3))
    write_folder(tmp_path, {"a/2.png": "PNG"}, shape=(16, 12, 3))
    with pytest.raises(DataError, match=r"2 sizes.*size="):
        load_data(tmp_path)
    assert load_data(tmp_path, size=8).images.shape == (2, 3, 8, 8)


def test_size_keeps_the_middle(tmp_path):
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, 10:20] = 200
    (tmp_path / "a").mkdir()
    Image.fromarray(wide).save(tmp_path / "a" / "wide.png")
    image = load_data(tmp_path, size=10).images
    assert image.shape == (1, 1, 10, 10)
    assert (image == 200).all()


# --- kinds of images ----------------------------------------------------------------------------------------------


GRADIENT = np.linspace(0, 255, 32).round().astype(np.uint8)[None].repeat(24, 0)  # 24 rows, dark to bright
COLOUR = np.stack([GRADIENT, GRADIENT[:, ::-1], np.full_like(GRADIENT, 60)], 2)


def read(tmp_path, image, name="a/1.png", capsys=None, size=None, **options):
    """One image through a file: its pixels (C, H, W) as integers, and what was said."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    data = load_data(tmp_path, size=size)
    return data.images[0].int(), capsys.readouterr().err if capsys else ""


def test_transparent_parts_are_laid_on_white(tmp_path, capsys):
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[:, :10], alpha[:, 10:20] = 0, 128
    got, said = read(tmp_path, Image.fromarray(np.dstack([COLOUR, alpha])), capsys=capsys)
    assert "transparent parts are laid on white: a/1.png" in said and str(tmp_path) in said
    share = torch.from_numpy(alpha / 255.0)
    want = share * torch.from_numpy(COLOUR.transpose(2, 0, 1)) + (1 - share) * 255
    assert got.shape == (3, 24, 32) and (got - want).abs().max() <= 1
    assert (got[:, :, :10] == 255).all() and torch.equal(got[:, :, 20:], torch.from_numpy(COLOUR).permute(2, 0, 1)[:, :, 20:].int())


def test_an_alpha_channel_without_transparency_is_not_worth_a_word(tmp_path, capsys):
    got, said = read(tmp_path, Image.fromarray(np.dstack([COLOUR, np.full((24, 32), 255, np.uint8)])), capsys=capsys)
    assert said == "" and torch.equal(got, torch.from_numpy(COLOUR).permute(2, 0, 1).int())


def test_grey_with_alpha_stays_grey(tmp_path):
    alpha = np.where(np.arange(32) < 16, 0, 255).astype(np.uint8)[None].repeat(24, 0)
    got, _ = read(tmp_path, Image.merge("LA", [Image.fromarray(GRADIENT), Image.fromarray(alpha)]))
    assert got.shape == (1, 24, 32) and (got[0, :, :16] == 255).all() and (got[0, :, 16:].numpy() == GRADIENT[:, 16:]).all()


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_palette_becomes_rgb_and_its_transparent_entry_white(tmp_path, capsys, kind):
    flat = np.zeros((8, 8), np.uint8)
    flat[:, 4:] = 1
    image = Image.fromarray(flat).convert("P")
    image.putpalette([200, 30, 40, 10, 20, 250])
    got, said = read(tmp_path, image, f"a/1.{kind}", capsys)
    assert got[:, 0, 0].tolist() == [200, 30, 40] and got[:, 0, 7].tolist() == [10, 20, 250] and said == ""
    got, said = read(tmp_path, image, f"a/1.{kind}", capsys, transparency=1)
    assert got[:, 0, 0].tolist() == [200, 30, 40] and got[:, 0, 7].tolist() == [255, 255, 255] and "white" in said


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_keep_their_shades(tmp_path, capsys, kind):
    got, said = read(tmp_path, Image.fromarray(GRADIENT.astype(np.uint16) * 257), f"a/1.{kind}", capsys)
    assert (got[0].numpy() == GRADIENT).all()  # PIL's convert("L") would turn nearly all of it white
    assert "16 bits a pixel become 8" in said


def test_pixels_without_a_known_white_are_refused(tmp_path):
    for pixels in (GRADIENT.astype(np.float32), GRADIENT.astype(np.int32) * 1000):
        with pytest.raises(DataError, match="no telling which value is white"):
            read(tmp_path, Image.fromarray(pixels), "a/1.tif")


def test_black_and_white(tmp_path):
    got, _ = read(tmp_path, Image.fromarray(GRADIENT > 100))
    assert got.unique().tolist() == [0, 255] and (got[0].numpy() == 255 * (GRADIENT > 100)).all()


def test_cmyk_becomes_rgb_and_is_said(tmp_path, capsys):
    got, said = read(tmp_path, Image.fromarray(COLOUR).convert("CMYK"), "a/1.jpg", capsys, quality=95)
    assert (got - torch.from_numpy(COLOUR).permute(2, 0, 1)).abs().max() < 25 and "CMYK" in said


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, 16])
def test_a_camera_held_any_way_gives_an_upright_picture(tmp_path, capsys, orientation, size):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> the transposition that puts an upright picture so
    upright = Image.fromarray(COLOUR).resize((64, 48))
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    got, said = read(tmp_path, stored, "a/1.jpg", capsys, size, exif=exif, quality=95)
    want, _ = read(tmp_path / "upright", upright, "a/1.jpg", capsys, size, quality=95)
    assert got.shape == want.shape and (got - want).abs().float().mean() < 6
    assert ("turned upright" in said) == (orientation > 1)


def test_an_animation_gives_its_first_picture(tmp_path, capsys):
    first, second = Image.fromarray(GRADIENT), Image.fromarray(255 - GRADIENT)
    got, said = read(tmp_path, first, "a/1.gif", capsys, save_all=True, append_images=[second])
    assert (got[0].numpy() == GRADIENT).all() and "the first is taken" in said


def test_odd_sizes_are_fitted_and_said(tmp_path, capsys):
    for shape in ((1, 1), (3, 700), (900, 5), (33, 31), (16, 16)):
        write_folder(tmp_path, {f"a/{shape[0]}x{shape[1]}.png": "PNG"}, shape)
    data, said = load_data(tmp_path, size=16), capsys.readouterr().err
    assert data.images.shape == (5, 1, 16, 16)
    assert "smaller than 16 x 16, so enlarged: 3, such as a/1x1.png" in said
    assert "not square, so that the middle is taken: 3, such as" in said


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_huge_image_is_scaled_down(tmp_path, kind):
    smooth = Image.fromarray(COLOUR).resize((4800, 3600))
    got, _ = read(tmp_path, smooth, f"a/1.{kind.lower()}", size=32)
    want = torch.from_numpy(np.array(smooth.crop((600, 0, 4200, 3600)).resize((32, 32)))).permute(2, 0, 1).int()
    assert (got - want).abs().max() < 4


def test_more_pixels_than_memory_holds_are_refused_before_they_are_read(tmp_path, monkeypatch):
    write_folder(tmp_path, {f"a/{i}.png": "PNG" for i in range(4)})
    monkeypatch.setattr(module, "LARGEST", 1000)
    monkeypatch.setattr(module, "_decoded", lambda *_: pytest.fail("read"))
    with pytest.raises(DataError, match=r"would take .* Give a small size"):
        load_data(tmp_path)


def test_a_size_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="size=0 is no size"):
        load_data(tmp_path, size=0)


# --- broken files -------------------------------------------------------------------------------------------------


def test_one_broken_file_among_many_is_left_out_and_named(tmp_path, capsys):
    write_folder(tmp_path, {f"{name}/{i:02d}.png": "PNG" for name in "ab" for i in range(10)})
    (tmp_path / "a" / "03.png").write_bytes(b"no picture")
    whole = (tmp_path / "b" / "05.png").read_bytes()
    (tmp_path / "b" / "05.png").write_bytes(whole[: len(whole) // 2])  # its header is fine
    data, said = load_data(tmp_path), capsys.readouterr().err
    assert data.labels.bincount().tolist() == [9, 9]
    assert said.count("\n") == 1 and "not readable, so left out: 2, such as a/03.png (of no known kind)" in said


def test_many_broken_files_are_an_error_that_counts_them(tmp_path):
    write_folder(tmp_path, {f"a/{i:02d}.png": "PNG" for i in range(20)})
    for i in range(3):
        (tmp_path / "a" / f"{i:02d}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"00\.png is not a readable image .* and 2 more of 20 files are not\. Delete or replace them"):
        load_data(tmp_path)


def test_a_class_of_broken_files_alone_goes_and_the_labels_close_up(tmp_path, capsys):
    write_folder(tmp_path, {f"{name}/{i:02d}.png": "PNG" for name in "ac" for i in range(10)})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").symlink_to(tmp_path / "nowhere.png")
    data, said = load_data(tmp_path), capsys.readouterr().err
    assert data.class_names == ("a", "c") and data.labels.bincount().tolist() == [10, 10]
    assert "b/1.png" in said and "classes without a readable image are left out: b" in said


# --- kinds of folders ---------------------------------------------------------------------------------------------


def test_images_without_classes_are_one_class(tmp_path, capsys):
    write_folder(tmp_path / "mushrooms", {"1.png": "PNG", "2.PNG": "PNG"})
    (tmp_path / "mushrooms" / "empty").mkdir()
    data, said = load_data(tmp_path / "mushrooms"), capsys.readouterr().err
    assert data.class_names == ("mushrooms",) and data.labels.tolist() == [0, 0]
    assert "one class, 'mushrooms'" in said and "without images are left out: empty" in said


def test_what_is_left_out_is_said_and_hidden_files_are_not(tmp_path, capsys):
    write_folder(tmp_path, {"cat/1.png": "PNG", "cat/.hidden.png": "PNG", "cat/.ipynb_checkpoints/1.png": "PNG", ".trash/1.png": "PNG",
                            "dog/deep/er/1.png": "PNG", "dog/notes.txt": "PNG", "dog/IMG.HEIC": "PNG", "loose.png": "PNG",
                            "read.me": "PNG"})
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "folder.png").mkdir()
    data, said = load_data(tmp_path), capsys.readouterr().err.splitlines()
    assert data.class_names == ("cat", "dog") and data.labels.tolist() == [0, 1]
    assert len(said) == 3 and "without images are left out: empty" in said[0]
    assert "loose.png. Move" in said[1] and "3 (.heic, .me, .txt: pictures among them" in said[2]


def test_a_folder_in_a_folder_is_one_class_and_asks(tmp_path, capsys):
    write_folder(tmp_path, {"photos/cat/1.png": "PNG", "photos/dog/1.png": "PNG"})
    assert load_data(tmp_path).class_names == ("photos",)
    assert "If its sub-folders are the classes" in capsys.readouterr().err
    assert load_data(tmp_path / "photos").class_names == ("cat", "dog")
    assert capsys.readouterr().err == ""


def test_links_are_followed_but_not_in_circles(tmp_path, capsys):
    write_folder(tmp_path / "elsewhere", {"1.png": "PNG", "2.png": "PNG"})
    write_folder(tmp_path / "mine", {"cat/1.png": "PNG"})
    (tmp_path / "mine" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine" / "cat" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "mine" / "again").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "cat" / "up").symlink_to(tmp_path)
    data = load_data(tmp_path / "mine")
    assert data.class_names == ("cat", "dog") and data.labels.tolist() == [0, 0, 1, 1]
    assert capsys.readouterr().err == ""


def test_names_in_any_script(tmp_path, capsys):
    nfd = unicodedata.normalize("NFD", "Café")
    write_folder(tmp_path, {f"{nfd}/1.png": "PNG", "きのこ/ベニ 1.png": "PNG", "Pilz & Co/#1%.png": "PNG"})
    (tmp_path / os.fsdecode(b"bad\xff")).mkdir()
    (tmp_path / os.fsdecode(b"bad\xff") / os.fsdecode(b"\xfe.png")).write_bytes(picture((12, 12, 3), 9, "PNG"))
    data = load_data(tmp_path)
    assert set(data.class_names) == {"Café", "きのこ", "Pilz & Co", "bad\ufffd"} and len(data) == 4
    for name in data.class_names:
        name.encode("utf-8")  # can be printed


def test_names_that_are_nearly_the_same_are_kept_apart_and_said(tmp_path, capsys):
    write_folder(tmp_path, {f"{name}/1.png": "PNG" for name in ("Cat", "cat", "fly agaric", "FlyAgaric", "dog")})
    assert len(load_data(tmp_path).class_names) == 5
    said = capsys.readouterr().err
    assert "['Cat', 'cat']" in said and "['FlyAgaric', 'fly agaric']" in said and "dog" not in said


def test_a_class_called_train_beside_planes(tmp_path):
    write_folder(tmp_path, {"train/1.png": "PNG", "plane/1.png": "PNG"})
    assert load_data(tmp_path).class_names == ("plane", "train")


def test_splits_without_classes_and_in_capitals(tmp_path):
    write_folder(tmp_path, {"Train/1.png": "PNG", "Train/2.png": "PNG", "TEST/1.png": "PNG"})
    assert len(load_data(tmp_path)) == 2 and len(load_data(tmp_path, split="test")) == 1


def test_a_test_split_that_lacks_a_class_counts_as_the_training_does(tmp_path):
    write_folder(tmp_path, {"train/ant/1.png": "PNG", "train/bee/1.png": "PNG", "train/cat/1.png": "PNG",
                            "test/ant/1.png": "PNG", "test/cat/1.png": "PNG"})
    train, test = (load_data(tmp_path, split=split) for split in ("train", "test"))
    assert train.class_names == test.class_names and test.labels.tolist() == [0, 2]
    write_folder(tmp_path, {"test/dog/1.png": "PNG"})
    with pytest.raises(DataError, match="holds classes that .* does not: dog"):
        load_data(tmp_path, split="test")


def test_a_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "pictures", {"a/1.png": "PNG"})
    assert len(load_data("~/pictures")) == 1
