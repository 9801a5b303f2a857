"""FaceViT: Vision Transformers (Dosovitskiy et al., ICLR 2021) for faces, in the sizes that PLSC and InsightFace train.

Structure, initial values and parameter names are those of InsightFace's arcface_torch, so that weights move either way:
patches of 9 x 9 pixels without overlap, no class token, learned positions, and a head that sees all tokens.

Under AMP the matrix products are half precision, those of attention too, and so are the tensors that softmax and
LayerNorm take and give, which compute in float32; ReLU6 is float32. (arcface_torch's attention is float32 as a whole.)
"""

import oneflow as flow
from oneflow import nn

from backbones.blocks import Relu6
from backbones.drawn import Dropout, DropPath, TokenMask, check_share, unmask
from backbones.layer_norm import LayerNorm
from backbones.registry import Sizes, register
from utils.errors import UserError

_PATCH, _HEADS, _MLP = 9, 8, 4  # pixels of a patch's side; of attention; hidden numbers of a block, times its width
_STD = 0.02  # of initial values


class PatchEmbed(nn.Module):
    """Images (B, channels, H, W) -> tokens (B, T, dim), one for each whole patch."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, _PATCH, stride=_PATCH)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return flow.flatten(self.proj(x), 2).transpose(1, 2)


class Attention(nn.Module):
    """Each token (B, T, dim) becomes a mean of all, by several heads' weights, (B, T, dim).

    Of (B, heads, T, T) there are the products and the softmax, and the gradient of each: the scale is a factor inside
    the matrix product.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.shape, self.scale = (_HEADS, dim // _HEADS), (dim // _HEADS) ** -0.5

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        size = x.shape[:2]
        q, k, v = (part.reshape(*size, *self.shape).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=2))
        weights = flow.softmax(flow._C.matmul(q, k, transpose_b=True, alpha=self.scale), dim=3)
        return self.proj(flow.matmul(weights, v).transpose(1, 2).reshape(*x.shape))


class Mlp(nn.Module):
    """Two linear layers and a ReLU6 on each token by itself; shape is kept."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(dim, _MLP * dim), Relu6(), nn.Linear(_MLP * dim, dim)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Attention and Mlp, each after a LayerNorm and added to its input, but for the share `drop_path` of images."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.attn = LayerNorm(dim), Attention(dim)
        self.norm2, self.mlp = LayerNorm(dim), Mlp(dim)
        self.drop1, self.drop2 = (DropPath(drop_path) if drop_path > 0 else nn.Identity() for _ in range(2))

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        x = x + self.drop1(self.attn(self.norm1(x)))
        return x + self.drop2(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    """Images (B, 3, 112, 112) to embeddings (B, E), or other `sizes`: `depth` blocks of `dim` numbers a token.

    drop_path: the share of images for which the last block leaves a path out; it grows linearly from 0 at the first.
    mask: the share of tokens that the blocks do not see in training.
    """

    def __init__(self, sizes: Sizes, dropout: float, dim: int, depth: int, drop_path: float, mask: float) -> None:
        super().__init__()
        tokens = (sizes.image.height // _PATCH) * (sizes.image.width // _PATCH)
        self.patch_embed = PatchEmbed(sizes.channels, dim)
        # Not flow.empty: on other ranks than the first it would be elsewhere than the weights of layers, and its values
        # drawn beside theirs, in no certain order.
        self.pos_embed, self.mask_token = (nn.Parameter(flow.Tensor(1, count, dim)) for count in (tokens, 1))
        self.masking = TokenMask(tokens, mask) if mask > 0 else None
        self.belongs_to = {"masking": "mask_token"} if mask > 0 else {}  # tokens are masked as long as that one trains
        self.blocks = nn.ModuleList([Block(dim, drop_path * i / max(depth - 1, 1)) for i in range(depth)])
        self.norm = LayerNorm(dim)
        self.feature = nn.Sequential(
            nn.Linear(tokens * dim, dim, bias=False),
            nn.BatchNorm1d(dim, eps=2e-5),
            nn.Linear(dim, sizes.embedding, bias=False),
            nn.BatchNorm1d(sizes.embedding, eps=2e-5),
        )
        self.dropout = Dropout(dropout, dim) if dropout > 0 else nn.Identity()
        for parameter in (self.pos_embed, self.mask_token):
            nn.init.normal_(parameter, 0.0, _STD)
        self.mask_token.requires_grad = self.masking is not None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, _STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def stage_modules(self) -> list[nn.Module]:
        return list(self.blocks)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        x, places = self.patch_embed(x) + self.pos_embed, None
        if self.masking is not None:
            x, places = self.masking(x)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        if places is not None:
            x = unmask(x, places, self.mask_token)
        x = self.feature[1](self.feature[0](flow.flatten(x, 1)))
        return self.feature[3](self.feature[2](self.dropout(x)))


@register("vit_t", dim=256, depth=12)
@register("vit_s", dim=512, depth=12)
@register("vit_b", dim=512, depth=24)
@register("vit_l", dim=768, depth=24)
@register("vit_h", dim=1024, depth=48)
@register("vit_t_dp005_mask0", dim=256, depth=12, drop_path=0.05, mask=0.0)
@register("vit_s_dp005_mask_0", dim=512, depth=12, drop_path=0.05, mask=0.0)
@register("vit_b_dp005_mask_005", dim=512, depth=24, drop_path=0.05, mask=0.05)
@register("vit_l_dp005_mask_005", dim=768, depth=24, drop_path=0.05, mask=0.05)
def vit(
    sizes: Sizes, dropout: float, dim: int, depth: int, drop_path: float = 0.0, mask: float = 0.0
) -> VisionTransformer:
    """19.1, 76.0, 113.8, 255.7 and 756.4 million parameters at 512 dimensions.

    Raises UserError for shares outside of [0, 1), and for images without a whole patch.
    """
    check_share("drop_path", drop_path)
    check_share("mask", mask)
    height, width, _ = sizes.image
    if min(height, width) < _PATCH:
        raise UserError(f"images of {height}x{width} have no whole patch of {_PATCH}x{_PATCH} pixels")
    return VisionTransformer(sizes, dropout, dim, depth, drop_path, mask)
