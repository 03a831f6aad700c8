"""The published FID, up to the weights that only a network brings: torch-fidelity's own way, with another network's features."""

import sys

import pytest
import torch
from torch import nn

from ddpm_course import fid
from ddpm_course.fid import FidError, inception_fid
from ddpm_course.metrics import frechet_distance

pytest.importorskip("torch_fidelity")


def images(n, seed, spread=40):
    generator = torch.Generator().manual_seed(seed)
    return (128 + spread * torch.randn(n, 3, 8, 8, generator=generator)).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def extractor():
    """torch-fidelity's way to other features: here 12 numbers of the pixels, by fixed random weights."""
    from torch_fidelity import FeatureExtractorBase, register_feature_extractor

    class Twelve(FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)
            self.layer = nn.Linear(192, 12)
            self.layer.weight.data = torch.randn(12, 192, generator=torch.Generator().manual_seed(0)) / 100

        def forward(self, x):
            assert x.dtype == torch.uint8
            return (self.layer(x.flatten(1).float()),)

        @staticmethod
        def get_provided_features_list():
            return ("twelve",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "twelve"

        @staticmethod
        def can_be_compiled():
            return False

        @staticmethod
        def get_dummy_input_for_compile():
            return torch.zeros(1, 3, 8, 8, dtype=torch.uint8)

    register_feature_extractor("twelve-numbers", Twelve)
    return Twelve("twelve-numbers", ["twelve"])


def test_the_plumbing_is_right_whatever_the_network(extractor):
    """Its figure with known features is ours on the same features: images in order and untouched, all of them, drawn against real."""
    drawn, real = images(300, 1), images(450, 2, spread=60)
    found = inception_fid(drawn, real, "twelve-numbers", "twelve")
    with torch.no_grad():
        ours = frechet_distance(extractor(drawn)[0], extractor(real)[0])
    assert found == pytest.approx(ours, rel=1e-4) and found > 0.1
    assert inception_fid(real, real, "twelve-numbers", "twelve") == pytest.approx(0, abs=1e-4)


def test_without_a_network_the_weights_are_asked_for(monkeypatch, tmp_path):
    from urllib.error import URLError

    def offline(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FidError, match="weights could not be fetched.*Name or service.*Connect to a network once"):
        inception_fid(images(4, 1), images(4, 2))


def test_without_torch_fidelity_the_remedy_is_said(monkeypatch):
    for module in ("torch_fidelity", "torch_fidelity.utils"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FidError, match="pip install torch-fidelity"):
        inception_fid(images(4, 1), images(4, 2))


@pytest.mark.parametrize("bad", [images(4, 1).float(), images(4, 1)[:, :1], images(1, 1), images(4, 1)[0]],
                         ids=["floats", "grey", "one", "no batch"])
def test_only_colour_bytes(bad):
    with pytest.raises(ValueError, match="colour images, uint8"):
        inception_fid(bad, images(4, 2))
    with pytest.raises(ValueError, match="colour images, uint8"):
        inception_fid(images(4, 2), bad)


def test_the_published_number_of_images():
    assert fid.PUBLISHED_N == 50_000
