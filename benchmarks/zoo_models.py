"""The networks of the zoo: torchvision and timm, with random weights that leave no part of a network without effect."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

# What torchvision's Python code expects its binary to have declared. No network of the zoo calls any of these.
_OPERATORS = ("nms", "qnms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d")
# timm's networks, one for each pair of a module of timm and a first word of its networks' names: that with the fewest
# parameters, if it has at most 200 million; timm's own networks for tests are left out. TIMM_MORE are others that people
# ask for.
TIMM = """
    bat_resnext26ts beit3_base_patch16_224 beit_base_patch16_224 beitv2_base_patch16_224 botnet26t_256 caformer_s18
    cait_xxs24_224 coat_tiny coatnet_pico_rw_224 coatnext_nano_rw_224 convformer_s18 convit_tiny convmixer_768_32
    convnext_zepto_rms convnextv2_atto cpubone_nano crossvit_tiny_240 cs3darknet_focus_s csatv2 cspdarknet53
    cspnext_tiny cspresnet50 cspresnext50 darknet17 darknetaa53 davit_tiny deit_tiny_patch16_224 densenet121
    densenetblur121d dla46x_c dm_nfnet_f0 dpn48b eca_botnext26ts_256 eca_nfnet_l0 eca_resnext26ts eca_vovnet39b
    ecaresnet26t ecaresnetlight ecaresnext26t_32x4d edgenext_xx_small efficientformer_l1 efficientformerv2_s0
    efficientnet_lite0 efficientnetv2_rw_t efficientvim_m1 efficientvit_b0 efficientvit_m0 ese_vovnet19b_slim_dw
    eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 fbnetc_100 fbnetv3_b flexivit_small focalnet_tiny_srf
    gc_efficientnetv2_rw_t gcresnet33ts gcresnext26ts gcvit_xxtiny gemma4_vit_167m gernet_s ghostnet_050 ghostnetv3_050
    gmixer_12_224 gmlp_ti16_224 halo2botnet50ts_256 halonet_h1 haloregnetz_b hardcorenas_b hgnet_tiny hgnetv2_b0
    hiera_tiny_224 hieradet_small hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3
    inception_v4 lambda_resnet26t lamhalobotnet50ts_256 lcnet_035 lcnetv2_small legacy_seresnet18 legacy_xception
    levit_128s lowformer_b0 mambaout_femto maxvit_pico_rw_256 maxxvit_rmlp_nano_rw_256 maxxvitv2_nano_rw_256
    mixer_s16_224 mixnet_s mnasnet_small mobilenet_edgetpu_100 mobilenetv2_035 mobilenetv3_small_050 mobilenetv5_base
    mobileone_s1 mobilevit_xxs mobilevitv2_050 mvitv2_tiny naflexvit_base_patch16_parfac_gap nasnetalarge nest_tiny
    nextvit_small nf_regnet_b0 nfnet_l0 pit_ti_224 pnasnet5large poolformer_s12 poolformerv2_s12 pvt_v2_b0 qwen3_vit_88m
    rdnet_tiny regnetv_040 regnetx_002 regnety_002 regnetz_005 regnetz_b16 repghostnet_050 repvgg_a0 repvit_m1
    res2next50 resmlp_12_224 resnest14d resnet10t resnet32ts resnetaa34d resnetblur18 resnetrs50 resnetv2_18 resnext26ts
    resnext50_32x4d rexnet_100 rexnetr_100 sam2_hiera_tiny samvit_base_patch16_224 sebotnet33ts_256 sedarknet21
    sehalonet33ts selecsls42 semnasnet_050 senet154 sequencer2d_s seresnet18 seresnet33ts seresnetaa50d
    seresnext26t_32x4d seresnext26ts seresnextaa101d_32x8d shvit_s1 skresnet18 skresnext50_32x4d spnasnet_100
    starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window16_256 tf_mixnet_s
    tf_mobilenetv3_small_075 tiny_vit_5m_224 tinynet_e tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11
    visformer_tiny vit_srelpos_small_patch16_224 vit_tiny_patch16_224 vit_tiny_patch16_dinov3_qkvb vit_tiny_r_s16_p8_224
    vitamin_small_224 volo_d1_224 vovnet39a wide_resnet50_2 xception41p xcit_nano_12_p8_224
""".split()
TIMM_MORE = ("convnext_tiny", "maxvit_tiny_tf_224", "swin_tiny_patch4_window7_224", "vit_base_patch16_224")
# Sides of the input where it is not 224; torchvision does not state them in one place.
_SIDES = {"inception_v3": 299}
_PREFIXES = ("torchvision", "timm")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A network of the zoo.

    Attributes:
        library: ``torchvision`` or ``timm``.
        name: its name there.
        group: ``classification`` or, in torchvision, another task.
    """

    library: str
    name: str
    group: str = "classification"

    @property
    def key(self) -> str:
        """Library and name."""
        return f"{self.library}/{self.name}"


def import_torchvision() -> ModuleType:
    """torchvision; where its binary does not fit this torch, its operators are declared first, without code.

    A wheel that was built for a GPU has a binary that does not load beside a torch without one. torchvision's Python
    code then stops at the first operator that the binary would have declared. Its networks for classification call
    none of them.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as cause:
        if "torchvision::" not in str(cause):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        for name in (operator, f"_{operator}_backward"):
            library.define(f"{name}(Tensor x) -> Tensor")
    _kept_libraries.append(library)
    return importlib.import_module("torchvision")


_kept_libraries: list[torch.library.Library] = []  # a library's operators live as long as the object


def entries() -> list[Entry]:
    """All networks of the zoo."""
    models = import_torchvision().models
    found = [Entry(library="torchvision", name=name) for name in models.list_models(module=models)]
    for group in ("segmentation", "video"):
        module = getattr(models, group)
        found += [Entry(library="torchvision", name=name, group=group) for name in models.list_models(module=module)]
    return found + [Entry(library="timm", name=name) for name in sorted({*TIMM, *TIMM_MORE})]


def build(entry: Entry) -> tuple[nn.Module, tuple[int, ...]]:
    """A network in evaluation mode, and the shape of one of its inputs.

    Args:
        entry: the network.

    Returns:
        The network with random weights, see :func:`shake`, and the shape without the batch axis.
    """
    torch.manual_seed(0)
    if entry.library == "timm":
        import timm

        model = timm.create_model(entry.name, pretrained=False)
        shape = tuple(model.default_cfg["input_size"])
    else:
        model = import_torchvision().models.get_model(entry.name, **_options(entry))
        side = _SIDES.get(entry.name, 224)
        shape = (3, side, side)
        if entry.group == "video":
            shape = (3, 16, 112, 112) if "swin" not in entry.name and "mvit" not in entry.name else (3, 16, 224, 224)
    shake(model, draw(4, shape, 0))
    return model, shape


def _options(entry: Entry) -> dict[str, Any]:
    """Arguments that keep torchvision from loading trained weights, or from warning that it does not."""
    options: dict[str, Any] = {"weights": None}
    if entry.group == "segmentation":
        options["weights_backbone"] = None
    if entry.name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    return options


def draw(count: int, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Inputs that differ in more than noise: coarse patterns, noise, and a brightness of each channel.

    Args:
        count: number of inputs.
        shape: of one input.
        seed: of the random numbers.

    Returns:
        Real numbers (count, *shape).
    """
    generator = torch.Generator().manual_seed(seed)
    axes = len(shape) - 1
    coarse = torch.randn(count, shape[0], *[4] * axes, generator=generator)
    coarse = nn.functional.interpolate(coarse, size=shape[1:], mode="bilinear" if axes == 2 else "trilinear")
    bright = torch.randn(count, shape[0], *[1] * axes, generator=generator)
    return coarse + 0.5 * bright + 0.5 * torch.randn(count, *shape, generator=generator)


def shake(model: nn.Module, inputs: torch.Tensor) -> None:
    """Move a network away from its start, where many a part has no effect: scales near 0 or exactly 1, biases of 0.

    Biases get N(0, 0.1²) added. Other vectors and single numbers (scales of norms, layers and branches) become
    1 + N(0, 0.1²), and parameters that are all zero N(0, 0.02²). BatchNorms get the statistics of what they meet on
    some inputs, as after training, each moved by about a tenth.

    Args:
        model: the network; it is changed.
        inputs: the inputs.
    """
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim <= 1 and "bias" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif parameter.ndim <= 1:
                parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
            elif not parameter.any():
                parameter.normal_(0, 0.02)
        norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        momenta = [one.momentum for one in norms]
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        if norms:
            model(inputs)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
            mean, variance = norm.running_mean, norm.running_var
            if mean is not None and variance is not None:
                mean.add_(0.1 * variance.sqrt() * torch.randn_like(mean))
                variance.mul_(0.8 + 0.4 * torch.rand_like(variance))
