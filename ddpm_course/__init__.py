r"""Denoising diffusion, from forward noising to label-conditioned sampling with guidance.

=============  =======================  ==========================================================================
in the text    in the code              meaning
=============  =======================  ==========================================================================
x_0            ``x0``                   a clean image, float32 (C, H, W) in [-1, 1]
t, s           ``t``, ``s``             timesteps in {0..T-1}, s < t; t = 0 is the least noisy, t = -1 the clean image
\beta_t        ``betas[t]``             variance added by step t
\bar\alpha_t   ``alpha_bar``            prod_{i<=t} (1 - beta_i): the share of the variance that is still signal
SNR_t          ``snr``                  alpha_bar / (1 - alpha_bar)
\epsilon       ``eps``, ``noise``       N(0, I)
x_t            ``xt``                   sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps
v_t            ``v``                    sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x0
\hat x_0       ``x0`` of ``denoise``    the network's guess of the clean image
y              ``y``, ``labels``        int64 in {0..num_classes-1}; ``num_classes`` itself is the null label
w              ``scale - 1``            guidance: uncond + scale * (cond - uncond)
=============  =======================  ==========================================================================

Model contract: ``model(xt, t, y=None)`` returns a tensor of xt's shape; `Diffusion` alone knows what it means.
"""

from .checkpoints import Loaded, load_checkpoint, load_judge
from .data import ImageData, load_data, to_float, to_uint8
from .diffusion import Diffusion, posterior, q_sample, q_step
from .exact import EmpiricalDenoiser, GaussianDenoiser
from .guidance import Guided, drop_labels
from .judge import Judge
from .metrics import (
    diversity,
    evaluate,
    features_of,
    frechet_distance,
    kernel_distance,
    label_accuracy,
    nearest_neighbours,
)
from .optim import EMA, Muon
from .recipes import RECIPES, Recipe, get_recipe
from .sampling import Step, ddim_step, ddpm_step, dpmpp_step, sample, sample_steps
from .schedule import NoiseSchedule
from .training import TrainConfig, TrainResult, learning_rate, train
from .unet import UNet, UNetConfig

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "RECIPES",
    "Diffusion",
    "EmpiricalDenoiser",
    "GaussianDenoiser",
    "Guided",
    "ImageData",
    "Judge",
    "Loaded",
    "Muon",
    "NoiseSchedule",
    "Recipe",
    "Step",
    "TrainConfig",
    "TrainResult",
    "UNet",
    "UNetConfig",
    "ddim_step",
    "ddpm_step",
    "diversity",
    "dpmpp_step",
    "drop_labels",
    "evaluate",
    "features_of",
    "frechet_distance",
    "get_recipe",
    "kernel_distance",
    "label_accuracy",
    "learning_rate",
    "load_checkpoint",
    "load_data",
    "load_judge",
    "nearest_neighbours",
    "posterior",
    "q_sample",
    "q_step",
    "sample",
    "sample_steps",
    "to_float",
    "to_uint8",
    "train",
]
