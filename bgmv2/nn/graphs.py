"""CUDA graphs: what a frame takes on the device is recorded once, and from then on started by a single call."""

from __future__ import annotations

import torch

from bgmv2.nn.fast import Answer, FastMatting

WARM_UP = 3  # calls before recording, in which libraries choose their kernels and take their memory


class GraphedMatting:
    """A `FastMatting` on CUDA that is recorded for the shape and the settings of now.

    Where the number of patches follows from the picture, in `thresholding`, nothing is recorded. Frames of another
    shape are recorded anew.

    Args:
        fast: on CUDA, with patches `fixed` in number.

    Example:
        >>> graphed = GraphedMatting(FastMatting(load_model().to("cuda"), torch.float16))
        >>> pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm = graphed(src, bgr)
    """

    def __init__(self, fast: FastMatting):
        self.fast = fast
        self._key: tuple[object, ...] = ()

    @torch.inference_mode()
    def __call__(self, src: torch.Tensor, bgr: torch.Tensor) -> Answer:
        """Answer for frames and their plates, as `FastMatting` does; the answers are the caller's own."""
        model, refiner = self.fast.model, self.fast.model.refiner
        if refiner.mode == "thresholding":
            return self.fast(src, bgr)
        key = (src.shape, src.stride(), model.backbone_scale, refiner.mode, refiner.sample_pixels, refiner.floor)
        if key != self._key:
            self._record(src, bgr)
            self._key = key
        for given, kept in zip((src, bgr), self._given, strict=True):
            kept.copy_(given)
        self._graph.replay()
        pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm = (x.clone() for x in self._answer)
        return pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm

    def _record(self, src: torch.Tensor, bgr: torch.Tensor) -> None:
        self._key = ()  # a recording that fails leaves none
        self._given = src.clone(), torch.empty_like(src).copy_(bgr)
        stream = torch.cuda.Stream(src.device)
        stream.wait_stream(torch.cuda.current_stream(src.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.fast(*self._given)
        torch.cuda.current_stream(src.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may ask the device for memory meanwhile, and it need not be the current one.
        recording = torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local")
        with torch.cuda.device(src.device), recording:
            self._answer = self.fast(*self._given)
