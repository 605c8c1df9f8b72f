import cv2
import numpy as np
import pytest

from bgmv2.metrics import background_blobs, background_share, conn, dtssd, grad, mad, mse, sad, unknown_band

PICTURES = (mad, mse, sad, grad, conn)


def blobs(seed, size=(40, 50)):
    """A matte with soft edges, holes and islands."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size), (0, 0), 3)
    return np.clip(noise / noise.std() * 0.6 + 0.5, 0, 1)


@pytest.mark.parametrize("metric", [*PICTURES, background_blobs, background_share])
def test_the_truth_is_perfect(metric):
    pha = blobs(0)
    assert metric(pha, pha) == 0


def test_plain_differences():
    true = np.zeros((20, 50))
    pred = true.copy()
    pred[:10] = 0.5
    assert mad(pred, true) == pytest.approx(0.25)
    assert mse(pred, true) == pytest.approx(0.125)
    assert sad(pred, true) == pytest.approx(0.25)  # 500 pixels, each off by 0.5, in thousands


@pytest.mark.parametrize("metric", [mad, mse, sad, grad, conn])
def test_a_metric_does_not_mind_which_is_the_truth(metric):
    assert metric(blobs(0), blobs(1)) == pytest.approx(metric(blobs(1), blobs(0)))


def test_float32_is_taken():
    assert mad(np.full((4, 4), 0.25, np.float32), np.zeros((4, 4), np.float32)) == 0.25


def test_grad_sees_edges_not_levels():
    assert grad(np.full((30, 30), 0.9), np.full((30, 30), 0.1)) == pytest.approx(0, abs=1e-12)
    step = np.zeros((30, 30))
    step[:, 15:] = 1
    ramp = np.clip((np.arange(30) - 10) / 10, 0, 1)[None].repeat(30, axis=0)
    assert grad(ramp, step) > 0.1


def test_grad_is_that_of_a_plain_implementation():
    x = np.arange(-4, 5)
    gauss = np.exp(-(x**2) / (2 * 1.4**2)) / (1.4 * np.sqrt(2 * np.pi))
    kernel = np.outer(gauss, -x * gauss / 1.4**2)
    kernel /= np.sqrt((kernel**2).sum())

    def length(pha):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(pha, 4, mode="edge"), (9, 9))
        dx, dy = (np.einsum("yxij,ij->yx", windows, k) for k in (kernel, kernel.T))
        return np.sqrt(dx**2 + dy**2)

    pred, true = blobs(0), blobs(1)
    assert grad(pred, true) == pytest.approx(((length(pred) - length(true)) ** 2).sum() / 1000)


def test_grad_is_that_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    # SciPy's filters sum to 1, and to a slope of 1; those of the benchmark have an energy of 1.
    x = np.arange(-4, 5)
    gauss = np.exp(-(x**2) / (2 * 1.4**2))
    factor = 1 / np.linalg.norm(gauss / gauss.sum()) / np.linalg.norm(x * gauss / (1.4**2 * gauss.sum()))

    def length(pha):
        dx, dy = (
            ndimage.gaussian_filter(pha, 1.4, order=order, mode="nearest", radius=4) for order in ((0, 1), (1, 0))
        )
        return factor * np.hypot(dx, dy)

    pred, true = blobs(0), blobs(1)
    assert grad(pred, true) == pytest.approx(((length(pred) - length(true)) ** 2).sum() / 1000)


def test_grad_of_a_step_worked_out_by_hand():
    # Beside an edge from 0 to 1, the slope filter sees a sum of its half, the smoothing one the sum of all of itself.
    x = np.arange(-4, 5)
    smooth = np.exp(-(x**2) / (2 * 1.4**2))
    slope = np.abs(x) * smooth
    smooth /= np.linalg.norm(smooth)
    slope /= np.linalg.norm(slope)
    at = [smooth.sum() * slope[4 + k :].sum() for k in range(1, 5)]  # 1st to 4th pixel on either side
    step = np.zeros((30, 40))
    step[:, 20:] = 1
    assert grad(np.zeros((30, 40)), step) == pytest.approx(2 * 30 * np.square(at).sum() / 1000)


def test_conn_of_an_island_that_hangs_on_nothing():
    true = np.zeros((20, 20))
    true[:, :10] = 1
    pred = true.copy()
    pred[5:8, 15:17] = 1  # 6 pixels, connected to the rest at level 0 only
    assert conn(pred, true) == pytest.approx(6 / 1000)


def test_conn_forgives_a_small_gap():
    true = np.ones((10, 10))
    pred = np.full((10, 10), 0.9)
    assert conn(pred, true) == 0
    # At 0.65 both are one region up to level 0.6: the prediction has no gap, the truth one of 0.4.
    assert conn(np.full((10, 10), 0.65), true) == pytest.approx(0.4 * 100 / 1000)


def regions(mask):
    """Yield the pixels of each region of 4-connected neighbours."""
    left = set(zip(*(i.tolist() for i in mask.nonzero()), strict=True))
    while left:
        region = edge = {left.pop()}
        while edge:
            edge = {(y + dy, x + dx) for y, x in edge for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))} & left
            left -= edge
            region = region | edge
        yield region


def test_conn_is_that_of_a_plain_implementation():
    pred, true = blobs(0), blobs(1)
    level = np.full(true.shape, -1.0)
    for k in range(1, 11):
        largest = np.zeros(true.shape, bool)
        for y, x in max(regions((pred >= k / 10) & (true >= k / 10)), key=len, default=()):
            largest[y, x] = True
        level[(level == -1) & ~largest] = (k - 1) / 10
    level[level == -1] = 1
    phi = [1 - np.where(pha - level >= 0.15, pha - level, 0) for pha in (pred, true)]
    assert conn(pred, true) == pytest.approx(np.abs(phi[0] - phi[1]).sum() / 1000)


def test_dtssd_sees_flicker_and_not_an_error_that_stays():
    true = np.zeros((4, 6, 8))
    assert dtssd(true + 0.3, true) == pytest.approx(0)
    flicker = true.copy()
    flicker[1::2] = 0.2  # every change is 0.2 instead of 0
    assert dtssd(flicker, true) == pytest.approx(0.2)


def test_dtssd_is_the_mean_over_pairs_of_the_root_of_the_mean_square():
    true = np.zeros((3, 2, 2))
    pred = true.copy()
    pred[1, 0, 0] = 1
    pred[2] = pred[1]
    assert dtssd(pred, true) == pytest.approx((0.5 + 0) / 2)


def test_dtssd_of_a_band_counts_what_is_marked_in_either_frame():
    true = np.zeros((2, 2, 5))
    pred, where = true.copy(), np.zeros(true.shape, bool)
    pred[1, 0, 0] = 0.8
    pred[1, 1, 4] = 1  # not marked
    where[0, 0, 0] = where[1, 0, 1] = True
    assert dtssd(pred, true, where=where) == pytest.approx(np.sqrt(0.64 / 2))
    assert dtssd(pred, true, where=np.zeros(true.shape, bool)) == 0


def test_the_unknown_band_lies_on_both_sides_of_soft_and_of_hard_edges():
    pha = np.zeros((40, 60))
    pha[:, 30:] = 1
    columns = unknown_band(pha, reach=3).all(axis=0).nonzero()[0]
    assert columns.tolist() == list(range(27, 33))  # 27 has subject 3 pixels away, 32 has background
    pha[:, 28:30] = 0.5
    band = unknown_band(pha, reach=3)
    assert band.all(axis=0).nonzero()[0].tolist() == list(range(25, 33))
    assert (band == band[0]).all()
    assert unknown_band(np.full((8, 8), 0.01)).all()  # the faintest veil is not background
    assert not unknown_band(np.zeros((8, 8))).any() and not unknown_band(np.ones((8, 8))).any()


def test_a_mask_chooses_the_pixels_that_count():
    true = np.zeros((20, 50))
    pred = true.copy()
    pred[:, :10], pred[:, 10:20] = 0.5, 1
    where = np.zeros(true.shape, bool)
    where[:, :5] = where[:, 40:45] = True
    assert mad(pred, true, where=where) == pytest.approx(0.25)
    assert mse(pred, true, where=where) == pytest.approx(0.125)
    assert sad(pred, true, where=where) == pytest.approx(0.05)
    assert mad(pred, true, where=np.zeros(true.shape, bool)) == 0


@pytest.mark.parametrize("metric", [sad, grad, conn])
def test_sums_over_a_mask_and_over_the_rest_make_the_whole(metric):
    pred, true = blobs(0), blobs(1)
    where = unknown_band(np.pad(np.ones((40, 20)), ((0, 0), (15, 15))), reach=6)
    parts = metric(pred, true, where=where), metric(pred, true, where=~where)
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(metric(pred, true))


@pytest.mark.parametrize("where", [np.ones((3, 4)), np.ones((4, 3), bool)])
def test_a_mask_that_is_none_is_refused(where):
    with pytest.raises(ValueError, match="a mask is bool"):
        mad(np.zeros((3, 4)), np.zeros((3, 4)), where=where)


def test_the_share_of_background_counts_only_true_background():
    true = np.zeros((10, 10))
    true[:, 5:] = 1
    true[0, :5] = 0.01
    pred = np.ones((10, 10))
    pred[1:, :4] = 0.1  # not above
    assert background_share(pred, true) == pytest.approx(9 / 45)
    assert background_share(pred, true, threshold=0.05) == 1
    assert background_share(np.ones((4, 4)), np.ones((4, 4))) == 0


def test_blobs_of_background_are_counted_by_size():
    true = np.zeros((100, 100))
    true[:, 60:] = 1
    pred = true.copy()
    pred[0:4, 0:3] = 0.6  # 12 pixels of 10,000
    pred[20:25, 20:22] = 0.6  # 10 pixels: 0.1 % and not more
    pred[40:50, 0:10] = 0.5  # not above the threshold
    assert background_blobs(pred, true) == 1
    assert background_blobs(pred, true, min_share=0.0) == 2
    assert background_blobs(pred, true, threshold=0.4) == 2


def test_blobs_of_background_join_at_corners_and_leave_out_soft_edges():
    true = np.zeros((50, 50))
    true[:, 20] = 0.01  # the subject's faintest edge is not background
    pred = np.zeros((50, 50))
    pred[:, 20] = 1
    pred[0:3, 0:3] = pred[3:6, 3:6] = 1
    assert background_blobs(pred, true) == 1


@pytest.mark.parametrize("metric", [*PICTURES, background_blobs, background_share])
def test_mattes_that_do_not_belong_together_are_refused(metric):
    for pred, true in ((np.zeros((3, 4)), np.zeros((4, 3))), (np.zeros((1, 3, 4)), np.zeros((1, 3, 4)))):
        with pytest.raises(ValueError, match="of one shape"):
            metric(pred, true)
    with pytest.raises(ValueError, match="floats"):
        metric(np.zeros((3, 4), np.uint8), np.zeros((3, 4)))


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4)])
def test_flicker_needs_two_frames(shape):
    with pytest.raises(ValueError, match="T of 2 or more"):
        dtssd(np.zeros(shape), np.zeros(shape))
