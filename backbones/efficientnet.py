"""EfficientNet (Tan and Le, ICML 2019), B0 to B7, and L2 (Xie et al., "Noisy Student", CVPR 2020).

B0 is a table; the others scale its widths and depths by two numbers.
"""

import math

from oneflow import nn

from backbones.blocks import InvertedResidual, SqueezeExcite, Style, check_stem, conv_norm, divisible
from backbones.drawn import DropPath, check_share
from backbones.outputs import FeatureNetwork, make_output
from backbones.registry import Sizes, register
from utils.errors import UserError

_STEM, _LAST = 32, 1280
_STAGES = (  # expansion, kernel, channels, blocks, stride of the first of them: B0, the paper's table 1
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)


class EfficientNet(FeatureNetwork):
    """Images (B, C, H, W) to embeddings (B, E), of `sizes`; the tensors of `features` have torchvision's names.

    drop_path: block i of n leaves out what it adds to its input for the share drop_path i / n of images.
    """

    def __init__(
        self,
        sizes: Sizes,
        dropout: float,
        style: Style,
        width: float,
        depth: float,
        stem_stride: int,
        output: str,
        pointwise: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        planes = divisible(_STEM * width)
        counts = [math.ceil(round(count * depth, 6)) for *_, count, _ in _STAGES]  # what 3 * 1.1 leaves behind is none
        shares = iter([drop_path * number / sum(counts) for number in range(sum(counts))])
        stages = [conv_norm(style, sizes.channels, planes, 3, stem_stride)]
        for (expansion, kernel, channels, _, stride), count in zip(_STAGES, counts, strict=True):
            blocks = []
            for number in range(count):
                inplanes, planes = planes, divisible(channels * width)
                hidden = divisible(inplanes * expansion)
                gate = SqueezeExcite(hidden, max(1, inplanes // 4), style.activate(max(1, inplanes // 4)))
                step, share = stride if number == 0 else 1, next(shares)
                drop = DropPath(share) if share > 0 and step == 1 and inplanes == planes else None
                blocks.append(InvertedResidual(style, inplanes, hidden, planes, kernel, step, gate, drop))
            stages.append(nn.Sequential(*blocks))
        last = divisible(_LAST * width)
        stages.append(conv_norm(style, planes, last))
        self.features = nn.Sequential(*stages)
        self.output = make_output(output, last, 3 + stem_stride, sizes, dropout, style, pointwise)


@register("efficientnet_b0", scales=(1.0, 1.0))
@register("efficientnet_b1", scales=(1.0, 1.1))
@register("efficientnet_b2", scales=(1.1, 1.2))
@register("efficientnet_b3", scales=(1.2, 1.4))
@register("efficientnet_b4", scales=(1.4, 1.8))
@register("efficientnet_b5", scales=(1.6, 2.2))
@register("efficientnet_b6", scales=(1.8, 2.6))
@register("efficientnet_b7", scales=(2.0, 3.1))
@register("efficientnet_l2", scales=(4.3, 5.3))
def efficientnet(
    sizes: Sizes,
    dropout: float,
    scales: tuple[float, float],
    width: float = 1.0,
    depth: float = 1.0,
    stem_stride: int = 2,
    output: str = "gdc",
    activation: str = "swish",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
    drop_path: float = 0.2,
) -> EfficientNet:
    """scales: width and depth of the name; the options `width` and `depth` multiply them. drop_path: as the paper's.

    Raises UserError for options that are not possible.
    """
    check_share("drop_path", drop_path)
    check_stem(stem_stride, width)
    if not 0 < depth < math.inf:
        raise UserError(f"depth={depth} is not possible: it multiplies numbers of blocks, as 0.5 does")
    style = Style(activation, bn_momentum, bn_eps)
    wide, deep = scales[0] * width, scales[1] * depth
    return EfficientNet(sizes, dropout, style, wide, deep, stem_stride, output, pointwise, drop_path)
