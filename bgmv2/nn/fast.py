"""The network for inference: `MattingRefine`'s answers with less work.

`bgmv2.nn.matting` says what is computed; here stands how to come to the same numbers sooner. Most of the plain
network's time goes into whole maps that are upsampled, joined, padded and cut into patches, although only few places
are looked at afterwards. So

- batch norm and, on CPUs, most activations are folded into the convolutions (`bgmv2.nn.folding`);
- alpha, residual and error leave the last convolution at half its resolution, four neighbours as four channels, and
  hidden features are computed only in blocks into which the refiner looks;
- patches are refined in tiles, whose margins overlap less than those of patches one by one, and a tile's surroundings
  are upsampled right there;
- full-resolution pictures are read only where patches are, and written once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial

import cv2
import torch
import torch.nn.functional as F
from torch import nn

from bgmv2.nn import patches, region, windows
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.decoder import join
from bgmv2.nn.folding import activates, folded
from bgmv2.nn.matting import MattingRefine, averaging, check_pair, padded
from bgmv2.nn.patches import PATCH, Places
from bgmv2.nn.region import Region
from bgmv2.nn.windows import Look
from bgmv2.resample import averaged

VISIBLE = 5  # alpha, three residuals, error: the first channels of the last convolution; hidden features follow
BLOCK = 8  # pixels of the coarse maps: side of a block of hidden features
TILES, LARGEST_TILE = (4, 2, 1), 7  # sides in patches, or as many times what divides evenly, up to the largest
Answer = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class FastMatting:
    """A `MattingRefine` that only answers.

    Args:
        model: the network, in eval mode. Its weights are copied; its settings (scale, mode, pixels, threshold, floor)
            are read anew at each call.
        dtype: what is computed in, but for the backbone's early parts (`Backbone.late`), or all of MobileNetV2 if not
            on a CPU: these stay in float32.
        fixed: in `sampling`, never ask how many patches there are, so that the host need not wait for the device; None
            does so on CUDA.
        follow: look only where frame and plate differ; elsewhere alpha is 0 and the foreground is the frame. Not
            where patches are `fixed` in number.

    Input:
        src, bgr: ``(B, 3, H, W)`` frame and plate, RGB, 0..1, float32; quickest in channels_last.
    Output:
        `MattingRefine`'s, in float32. In `full`, and on devices that are neither CPU nor CUDA, the refiner is the plain
        one, folded.

    Example:
        >>> fast = FastMatting(load_model().to("cuda"), torch.float16)
        >>> pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm = fast(src, bgr)
    """

    def __init__(
        self,
        model: MattingRefine,
        dtype: torch.dtype = torch.float32,
        *,
        fixed: bool | None = None,
        follow: bool = False,
    ):
        device = model.decoder.conv4.weight.device
        self.model = model
        self.dtype = dtype
        self.fixed = device.type == "cuda" if fixed is None else fixed
        self.follow = follow
        self._plain = device.type not in ("cpu", "cuda")
        self._net = folded(model, activate=device.type == "cpu" and activates(torch.float32) and activates(dtype))
        last = self._net.decoder.conv4
        assert last.bias is not None
        quarters = _of_quarters(last.weight[:VISIBLE], self._net.decoder.conv3.out_channels)
        self._quarters = quarters.to(dtype).contiguous(memory_format=torch.channels_last)
        self._quarters_bias = last.bias[:VISIBLE].repeat_interleave(4).to(dtype)
        # What a backbone with convolutions of each channel alone loses in low precision was measured on CPUs only, and
        # cuDNN's take many times as long in float32 where channels lie side by side.
        convs = (part for part in self._net.backbone.modules() if isinstance(part, nn.Conv2d))
        separable = any(conv.groups > 1 for conv in convs)
        is_early = separable and device.type != "cpu"
        _lower(self._net, dtype, late=None if is_early else BACKBONES[model.config.backbone].late)
        self._layout = torch.contiguous_format if separable and device.type == "cuda" else torch.channels_last
        self._net.backbone.to(memory_format=self._layout)
        self._first, self._others = (
            (last.weight[:VISIBLE], last.bias[:VISIBLE]),
            (last.weight[VISIBLE:], last.bias[VISIBLE:]),
        )

    @torch.inference_mode()
    def __call__(self, src: torch.Tensor, bgr: torch.Tensor) -> Answer:
        """Answer for frames and their plates."""
        check_pair(src, bgr)
        height, width = src.shape[2:]
        src, bgr = (padded(x).contiguous(memory_format=torch.channels_last) for x in (src, bgr))
        src_sm, bgr_sm = self._reduced(src), self._reduced(bgr)
        # The refiner sees the coarse maps at half the frame's size; they are `ratio` times smaller.
        half = (src.shape[2] // 2, src.shape[3] // 2)
        ratio = _ratio(src_sm.shape[2:], half)
        sides = _tiles(ratio) if ratio else []
        even = src_sm.shape[2] % 2 == src_sm.shape[3] % 2 == 0
        plain = self._plain or self.model.refiner.mode == "full"
        sparse = bool(sides) and even and not plain and not self.fixed and src.is_cpu
        # A region's border must fall between two pixels of the frame.
        follows = self.follow and sparse and (2 * ratio).denominator == 1
        seen = region.differing(src_sm, bgr_sm) if follows else region.whole(src_sm)

        y, x0 = self._features(seen.of(src_sm), seen.of(bgr_sm))
        if sparse:
            out = self._visible(y, x0)
        else:
            out = self._net.decoder.conv4(join(y, x0))
            hid = out[:, VISIBLE:].relu_()
        out = out[:, :VISIBLE].float()
        if seen != region.whole(src_sm):
            part, out = out, out.new_zeros(len(out), VISIBLE, *src_sm.shape[2:])
            seen.of(out).copy_(part)
        shown, err_sm = torch.cat([out[:, :1].clamp(0, 1), out[:, 1:4]], dim=1), out[:, 4:].clamp(0, 1)

        if plain:
            pha, fgr, ref_sm = self._refine_plainly(src, bgr, shown, err_sm, hid)
        else:
            pha, fgr = _resized(shown, src.shape[2], src.shape[3], seen)
            grid = [x // PATCH for x in src.shape[2:]]
            err = err_sm if list(err_sm.shape[2:]) == grid else F.interpolate(err_sm, size=grid, mode="bilinear")
            ref_sm, tiles, side = self._choose(err, sides if sparse else TILES)
            if len(tiles[0]) > 0:
                if sparse:
                    look, (h, w) = self._around(y, x0, shown, seen, tiles, side, ratio), src_sm.shape[2:]
                else:
                    maps = F.interpolate(torch.cat([hid, shown.to(self.dtype)], dim=1), size=half, mode="bilinear")
                    look, (h, w), ratio = windows.onto(maps), half, Fraction(1)
                fine = self._refine(src, bgr, look, h, w, tiles, side, ratio)
                if self.fixed and side == 1:
                    fine, valid = fine.permute(0, 2, 3, 1), ref_sm.squeeze(1)[tiles].bool()
                else:
                    (fine, tiles), valid = _chosen(fine, ref_sm, tiles, side), None
                _put(pha, fine[..., :1].clamp(0, 1), tiles, valid)
                _put(fgr, fine[..., 1:], tiles, valid)
        fgr = fgr.add_(src).clamp_(0, 1)
        fgr_sm = (src_sm + shown[:, 1:]).clamp_(0, 1)
        return pha[:, :, :height, :width], fgr[:, :, :height, :width], shown[:, :1], fgr_sm, err_sm, ref_sm

    def _reduced(self, x: torch.Tensor) -> torch.Tensor:
        """What `MattingRefine.reduced` gives."""
        step = averaging(self.model.backbone_scale)
        if step > 1 and x.shape[2] % step == x.shape[3] % step == 0:
            return averaged(x, step)
        return self.model.reduced(x)

    def _features(self, src_sm: torch.Tensor, bgr_sm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The decoder's map at half the coarse size, and the coarse pictures themselves."""
        x = torch.cat([src_sm, bgr_sm], dim=1).contiguous(memory_format=self._layout)
        maps = self._net.backbone(x)
        x4, x3, x2, x1, x0 = (x.to(self.dtype, memory_format=torch.channels_last) for x in maps)
        return self._net.decoder.raised(self._net.aspp(x4), x3, x2, x1), x0

    def _visible(self, y: torch.Tensor, x0: torch.Tensor) -> torch.Tensor:
        """The first channels of the decoder's last convolution, ``(B, 5, 2h, 2w)`` for y ``(B, C, h, w)``."""
        weight, bias = self._first
        b, c, h, w = y.shape
        joined = y.new_empty(b, h + 2, w + 2, self._quarters.shape[1]).permute(0, 3, 1, 2)
        joined[:, :c, 1:-1, 1:-1] = y
        pairs = x0.permute(0, 2, 3, 1).unflatten(2, (w, 2)).unflatten(1, (h, 2)).transpose(2, 3)
        joined[:, c:, 1:-1, 1:-1].permute(0, 2, 3, 1).unflatten(3, (2, 2, -1)).copy_(pairs)
        # The map's edge goes on outside; beyond the pictures there is nothing.
        for dim in (2, 3):
            for end, edge in ((0, 1), (-1, -2)):
                joined[:, :c].select(dim, end).copy_(joined[:, :c].select(dim, edge))
                joined[:, c:].select(dim, end).zero_()
        out = F.pixel_shuffle(F.conv2d(joined, self._quarters, self._quarters_bias), 2)
        # Beyond the edge the upsampled map is zero and not, as here, the map upsampled from what is beyond the edge.
        for dim in (2, 3):
            for end in (0, -1):
                near, strip = (_end(x, dim, end) for x in (y, x0))
                near = F.interpolate(near, scale_factor=2.0, mode="bilinear")
                rim = F.conv2d(torch.cat([_end(near, dim, end), strip], dim=1), weight, bias, padding=1)
                out.select(dim, end).copy_(rim.select(dim, end))
        return out

    def _choose(self, err: torch.Tensor, sides: Sequence[int]) -> tuple[torch.Tensor, Places, int]:
        """Choose patches by their error ``(B, 1, H/4, W/4)``.

        Returns:
            1 for the chosen patches, in err's shape; places of tiles that hold all of these; the tiles' side.
        """
        refiner = self.model.refiner
        count = refiner.sample_pixels // PATCH**2
        if self.fixed and refiner.mode == "sampling":
            indices, valid = patches.largest(err, count, refiner.floor)
            ref = torch.zeros_like(err).flatten(1).scatter_(1, indices, valid.to(err.dtype)).view_as(err)
            batch = torch.arange(len(err), device=err.device).repeat_interleave(indices.shape[1])
            at = indices.flatten()
            return ref, (batch, at // err.shape[3], at % err.shape[3]), 1
        ref = patches.select(err, refiner.mode, count, refiner.threshold, refiner.floor)
        tiles = {side: _places(F.max_pool2d(ref, side, ceil_mode=True).squeeze(1)) for side in sides}
        side = min(tiles, key=lambda side: len(tiles[side][0]) * self._work(side))
        return ref, tiles[side], side

    def _work(self, side: int) -> int:
        """Multiplications that a tile takes."""
        net, total = self._net.refiner, 0
        sides = PATCH // 2 * side + 2 * net.half_margin, PATCH * side + 2 * net.full_margin
        for size, convs in zip(sides, ((net.conv1, net.conv2), (net.conv3, net.conv4)), strict=True):
            for conv in convs:
                size -= conv.kernel_size[0] - 1
                total += conv.weight.numel() * size**2
        return total

    def _around(
        self,
        y: torch.Tensor,
        x0: torch.Tensor,
        shown: torch.Tensor,
        seen: Region,
        tiles: Places,
        side: int,
        ratio: Fraction,
    ) -> Look:
        """Make the coarse maps around tiles ready to look at: hidden features, alpha, residual."""
        weight, bias = self._others
        h, w = x0.shape[2:]
        rows, columns = -(-h // BLOCK), -(-w // BLOCK)

        def inside(b: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> Places:
            return b, (y - seen.top).clamp(0, h - 1), (x - seen.left).clamp(0, w - 1)

        size, margin = side * PATCH // 2, self.model.refiner.half_margin
        b, ys, xs = inside(*windows.pixels(tiles, shown.shape[2], shown.shape[3], size, margin, ratio))
        wanted = torch.zeros(len(y), rows, columns, dtype=torch.bool)
        wanted[b, ys // BLOCK, xs // BLOCK] = True
        blocks = _places(wanted)
        slots = torch.zeros(wanted.shape, dtype=torch.long)
        slots[blocks] = torch.arange(len(blocks[0]))
        joined = [
            windows.enlarged(windows.onto(y), blocks, *y.shape[2:], size=BLOCK, margin=1, ratio=2),
            windows.plain(x0, blocks, size=BLOCK, margin=1),
        ]
        hid = F.conv2d(torch.cat(joined, dim=1), weight, bias).relu_()
        hidden = hid.permute(0, 2, 3, 1).reshape(-1, hid.shape[1])
        look_at_shown = windows.onto(shown.to(self.dtype))

        def look(b: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            b_, ys, xs = inside(b, y, x)
            at = (slots[b_, ys // BLOCK, xs // BLOCK] * BLOCK + ys % BLOCK) * BLOCK + xs % BLOCK
            return torch.cat([F.embedding(at, hidden), look_at_shown(b, y, x)], dim=-1)

        return look

    def _refine(
        self,
        src: torch.Tensor,
        bgr: torch.Tensor,
        look: Look,
        h: int,
        w: int,
        tiles: Places,
        side: int,
        ratio: Fraction,
    ) -> torch.Tensor:
        """Refine tiles; ``(N, 4, 4 * side, 4 * side)`` alpha and residual."""
        net = self._net.refiner
        m, n = net.half_margin, net.full_margin
        coarse = windows.enlarged(look, tiles, h, w, size=side * PATCH // 2, margin=m, ratio=ratio)
        reach = max(2 * m, n)
        pictures = [windows.plain(x, tiles, size=side * PATCH, margin=reach) for x in (src, bgr)]
        halves = [_halved(x).to(self.dtype) for x in pictures]
        x = net.relu(net.conv1(torch.cat([coarse, *halves], dim=1)))
        x = net.relu(net.conv2(x))
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        window = slice(reach - n, reach + side * PATCH + n)
        fine = [x[:, :, window, window].to(self.dtype) for x in pictures]
        x = net.relu(net.conv3(torch.cat([x, *fine], dim=1)))
        return net.conv4(x).float()

    def _refine_plainly(
        self, src: torch.Tensor, bgr: torch.Tensor, shown: torch.Tensor, err: torch.Tensor, hid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Let the plain refiner answer, with the settings of now."""
        refiner = self._net.refiner
        for name in ("mode", "sample_pixels", "threshold", "floor"):
            setattr(refiner, name, getattr(self.model.refiner, name))
        maps = (x.to(self.dtype) for x in (src, bgr, shown[:, :1], shown[:, 1:], err))
        pha, residual, ref = refiner(*maps, hid)
        return pha.float().clamp_(0, 1), residual.float(), ref.float()


def _lower(model: MattingRefine, dtype: torch.dtype, *, late: str | None) -> None:
    """Compute in `dtype` from the backbone's part `late` on, or behind the backbone."""
    if late is not None and dtype != torch.float32:
        names = [name for name, _ in model.backbone.named_modules()]
        for name in names[names.index(late) :]:
            model.backbone.get_submodule(name).to(dtype)
        model.backbone.get_submodule(late).register_forward_pre_hook(partial(_cast, dtype))
    for part in (model.aspp, model.decoder, model.refiner):
        part.to(dtype)


def _cast(dtype: torch.dtype, part: nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """Give a part what it takes in another number format; a forward pre-hook."""
    return (given[0].to(dtype),)


def _of_quarters(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Rewrite a convolution over a map upsampled twice and a skip so that it reads the map, and writes four neighbours.

    Args:
        weight: ``(K, channels + S, 3, 3)``.
        channels: of the map; the skip's S follow.

    Returns:
        ``(K * 4, channels + 4 * S, 3, 3)``: over the map and, all S channels of one after the other, the skip's four
        neighbours; `pixel_shuffle` follows.
    """
    # [p, d, j]: how much of the map's pixel i + j - 1 is in the upsampled pixel 2i + p + d - 1.
    up = torch.tensor([[[3, 1, 0], [1, 3, 0], [0, 3, 1]], [[1, 3, 0], [0, 3, 1], [0, 1, 3]]]).to(weight) / 4
    # [p, d, j, s]: whether the skip's pixel 2i + p + d - 1 is the s-th of the pair i + j - 1.
    pair = torch.zeros(2, 3, 3, 2).to(weight)
    for p in range(2):
        for d in range(3):
            j, s = divmod(p + d + 1, 2)
            pair[p, d, j, s] = 1
    ups = torch.einsum("ocyx,pyj,qxk->opqcjk", weight[:, :channels], up, up).flatten(0, 2)
    skips = torch.einsum("ocyx,pyjs,qxkt->opqstcjk", weight[:, channels:], pair, pair).flatten(0, 2).flatten(1, 3)
    return torch.cat([ups, skips], dim=1)


def _ratio(small: Sequence[int], large: Sequence[int]) -> Fraction:
    """How many times larger, the same in height and width; else 0."""
    ratio = Fraction(large[0], small[0])
    return ratio if [side * ratio for side in small] == list(large) else Fraction(0)


def _tiles(ratio: Fraction) -> list[int]:
    """Sides of tiles, in patches, that are whole pixels of a map `ratio` times smaller than half the frame."""
    least = ratio.numerator // math.gcd(ratio.numerator, PATCH // 2)
    return [least * side for side in TILES if least * side <= LARGEST_TILE]


def _places(chosen: torch.Tensor) -> Places:
    """Where ``(B, h, w)`` is not 0."""
    b, y, x = chosen.nonzero().unbind(1)
    return b, y, x


def _end(x: torch.Tensor, dim: int, end: int) -> torch.Tensor:
    """The two first (end 0) or last (end -1) rows or columns."""
    length = min(2, x.shape[dim])
    return x.narrow(dim, 0 if end == 0 else x.shape[dim] - length, length)


def _resized(shown: torch.Tensor, height: int, width: int, seen: Region) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring alpha and residual ``(B, 4, h, w)`` to the frame's size; both are 0 outside of what was seen."""
    if shown.device.type != "cpu":
        enlarged = F.interpolate(shown, size=(height, width), mode="bilinear", align_corners=False)
        return enlarged[:, :1].contiguous(), enlarged[:, 1:].contiguous(memory_format=torch.channels_last)
    everything = seen == region.whole(shown)
    pha, residual = ((torch.empty if everything else torch.zeros)(len(shown), height, width, c) for c in (1, 3))
    # A pixel more on each side, so that what is there fades out as in the whole.
    top, left = max(0, seen.top - 1), max(0, seen.left - 1)
    part = Region(top, seen.bottom + 1, left, seen.right + 1).of(shown).permute(0, 2, 3, 1)
    scale = height / shown.shape[2], width / shown.shape[3]
    y, x = round(top * scale[0]), round(left * scale[1])
    h, w = round(part.shape[1] * scale[0]), round(part.shape[2] * scale[1])
    for index, picture in enumerate(part):
        cv2.resize(picture[..., 0].numpy(), (w, h), dst=pha[index, y : y + h, x : x + w, 0].numpy())
        cv2.resize(picture[..., 1:].numpy(), (w, h), dst=residual[index, y : y + h, x : x + w].numpy())
    return pha.permute(0, 3, 1, 2), residual.permute(0, 3, 1, 2)


def _halved(x: torch.Tensor) -> torch.Tensor:
    """Mean of each 2x2 pixels, ``(N, C, S, S)`` channels_last."""
    n, c, side, _ = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n, side // 2, 2, side, c)
    x = (rows[:, :, 0] + rows[:, :, 1]).view(n, side // 2, side // 2, 2, c)
    return (x[:, :, :, 0] + x[:, :, :, 1]).mul_(0.25).permute(0, 3, 1, 2)


def _chosen(fine: torch.Tensor, ref: torch.Tensor, tiles: Places, side: int) -> tuple[torch.Tensor, Places]:
    """Pick the chosen patches ``(K, 4, 4, 4)``, channels last, out of refined tiles ``(N, 4, 4 * side, 4 * side)``."""
    ref = F.pad(ref, [0, -ref.shape[3] % side, 0, -ref.shape[2] % side]).squeeze(1)
    ref = ref.unflatten(2, (-1, side)).unflatten(1, (-1, side)).permute(0, 1, 3, 2, 4)
    tile, y, x = ref[tiles].nonzero().unbind(1)
    grid = fine.permute(0, 2, 3, 1).unflatten(2, (side, PATCH)).unflatten(1, (side, PATCH)).permute(0, 1, 3, 2, 4, 5)
    places = tiles[0][tile], tiles[1][tile] * side + y, tiles[2][tile] * side + x
    return grid[tile, y, x], places


def _put(whole: torch.Tensor, values: torch.Tensor, places: Places, valid: torch.Tensor | None) -> None:
    """Put patches ``(K, 4, 4, C)`` into a picture ``(B, C, H, W)``; where they are not valid, it stays as it is."""
    grid = whole.permute(0, 2, 3, 1).unflatten(2, (-1, PATCH)).unflatten(1, (-1, PATCH)).permute(0, 1, 3, 2, 4, 5)
    grid[places] = values if valid is None else torch.where(valid.view(-1, 1, 1, 1), values, grid[places])
