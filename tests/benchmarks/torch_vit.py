"""FaceViT in PyTorch, as backbones/vit.py has it: the peer of bench_cpu_speed's transformers. Imports none of ours."""

import torch
from torch import nn
from torch.nn import functional

# Pixels of a patch's side; heads; hidden numbers, times the width; patches of an image's side
_PATCH, _HEADS, _MLP, _SIDE = 9, 8, 4, 12


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x):
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, _HEADS, dim // _HEADS).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(dim), Attention(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, _MLP * dim), nn.ReLU6(), nn.Linear(_MLP * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class FaceVit(nn.Module):
    """Images (B, 3, 112, 112) to embeddings (B, 512)."""

    def __init__(self, dim, depth, embedding=512):
        super().__init__()
        self.patches = nn.Conv2d(3, dim, _PATCH, stride=_PATCH)
        self.positions = nn.Parameter(torch.randn(1, _SIDE**2, dim) * 0.02)
        self.blocks, self.norm = nn.Sequential(*(Block(dim) for _ in range(depth))), nn.LayerNorm(dim)
        wide, last = nn.Linear(_SIDE**2 * dim, dim, bias=False), nn.Linear(dim, embedding, bias=False)
        self.feature = nn.Sequential(wide, nn.BatchNorm1d(dim), last, nn.BatchNorm1d(embedding))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.feature(self.norm(self.blocks(x)).flatten(1))
