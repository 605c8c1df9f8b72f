import pytest
import torch

from bgmv2.plate.unseen import continue_subject

SIZE = (1, 1, 180, 320)


def scene(*, seen_from=0, subject=(120, 160), leak=()):
    """Alpha with an upright subject, and a plate whose first rows are made up."""
    pha, covered = torch.zeros(SIZE), torch.ones(SIZE)
    pha[..., subject[0] : subject[1]] = 1
    covered[..., :seen_from, :] = 0
    for left, right in leak:
        pha[..., :seen_from, left:right] = 1
    return pha, covered


def test_nothing_changes_where_the_plate_has_pixels():
    pha = torch.rand(SIZE)
    assert torch.equal(continue_subject(pha, torch.ones(SIZE)), pha)
    covered = (torch.rand(SIZE) > 0.3).float()
    assert torch.equal(continue_subject(pha, covered)[covered == 1], pha[covered == 1])


def test_a_subject_that_stands_in_an_unseen_band_stays_and_the_room_there_goes():
    pha, covered = scene(seen_from=24, leak=((10, 60), (250, 300)))
    kept = continue_subject(pha, covered)
    assert kept[..., 120:160].min() > 0.99
    assert kept[..., :80].max() == 0 and kept[..., 220:].max() == 0


def test_what_runs_along_the_border_is_cut_off():
    pha, covered = scene(seen_from=24, leak=((0, 320),))
    kept = continue_subject(pha, covered)
    assert kept[..., 120:160].min() > 0.99
    # The band is 24 pixels deep, and the subject may widen by twice that on each side.
    assert kept[..., :60].max() == 0 and kept[..., 220:].max() == 0


def test_a_soft_edge_stays_soft():
    pha, covered = scene(seen_from=24)
    pha[..., 160:164] = torch.tensor([0.8, 0.6, 0.4, 0.2])
    torch.testing.assert_close(continue_subject(pha, covered), pha, atol=0.01, rtol=0)


@pytest.mark.parametrize("shown", [True, False])
def test_a_hole_in_the_plate_is_subject_only_with_a_subject_around_it(shown):
    pha, covered = torch.zeros(SIZE), torch.ones(SIZE)
    covered[..., 60:120, 130:190] = 0
    pha[..., 60:120, 130:190] = 1
    if shown:
        pha[..., 40:140, 110:210] = 1
    kept = continue_subject(pha, covered)
    assert torch.equal(kept, pha) if shown else kept.max() == 0


def test_a_plate_that_saw_nothing_of_the_frame_shows_no_subject():
    assert continue_subject(torch.ones(SIZE), torch.zeros(SIZE)).max() == 0


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (2, 1, 7, 300), (1, 1, 1080, 1920)])
def test_any_size_and_half_precision_will_do(size):
    pha, covered = torch.rand(size).half(), torch.ones(size).half()
    kept = continue_subject(pha, covered)
    assert kept.dtype == torch.float16 and torch.equal(kept, pha)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="covered.shape"):
        continue_subject(torch.rand(SIZE), torch.rand(1, 1, 4, 4))
