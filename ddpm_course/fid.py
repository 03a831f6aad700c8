"""The published FID: the Frechet distance on the features of the Inception network of Heusel et al. (2017), by torch-fidelity.

It needs the extra `fid` (pip install "ddpm-course[fid]") and, once, a network: torch-fidelity fetches Inception's weights. The
convention of published CIFAR-10 figures is 50,000 images drawn, as bytes, against the training images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

PUBLISHED_N = 50_000


class FidError(RuntimeError):
    """The FID cannot be computed here. The message says what to do."""


class _Images(Dataset):
    def __init__(self, images: Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def inception_fid(drawn: Tensor, reference: Tensor, extractor: str = "inception-v3-compat", layer: str = "2048") -> float:
    """FID of two sets of colour images, uint8 (N, 3, H, W), both at least 2 images.

    extractor, layer: names that torch-fidelity knows; the defaults are TensorFlow's Inception, as the published figures use.
    FidError where torch-fidelity or Inception's weights are missing; ValueError for images that are not colour bytes.
    """
    for images in (drawn, reference):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or len(images) < 2:
            raise ValueError(f"The FID compares sets of colour images, uint8 (N, 3, H, W), not {images.dtype} {tuple(images.shape)}.")
    fid_ready(extractor, layer)
    from torch_fidelity import calculate_metrics

    found = calculate_metrics(
        input1=_Images(drawn.cpu()), input2=_Images(reference.cpu()), fid=True, cuda=torch.cuda.is_available(), cache=False,
        verbose=False, save_cpu_ram=True, feature_extractor=extractor, feature_layer_fid=layer,
    )
    return float(found["frechet_inception_distance"])


def fid_ready(extractor: str = "inception-v3-compat", layer: str = "2048") -> None:
    """FidError unless torch-fidelity and the extractor's weights are there; fetches the weights where a network is."""
    try:
        from torch_fidelity.utils import create_feature_extractor
    except ImportError:
        raise FidError('The FID needs torch-fidelity. Run: pip install torch-fidelity (or "ddpm-course[fid]").') from None
    try:
        create_feature_extractor(extractor, [layer], cuda=False, verbose=False)
    except OSError as error:  # URLError and its kin are OSErrors
        raise FidError(
            f"Inception's weights could not be fetched ({error}). Connect to a network once; torch-fidelity keeps them."
        ) from error
