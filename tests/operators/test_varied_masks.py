"""A mask that differs from image to image hangs on the image's id, and travels as a channel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from invbench.cli import main
from invbench.data import DataSet
from invbench.data.photos import photos
from invbench.errors import InvalidImagesError, InvalidOptionError
from invbench.evaluation import Experiment, Settings, Subject, evaluate, observe, reference_scores
from invbench.exit_codes import ExitCode
from invbench.metrics import load_lpips, validity_metrics
from invbench.models import Case, reference_sampler
from invbench.operators import VariedMasking
from invbench.problems import Noise, Task, find_task

TASK = find_task("inpaint-varied50")
PROBLEM = TASK.problem((32, 48))
CPU = torch.device("cpu")
IMAGES = torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def observed(images=IMAGES):
    rows = [PROBLEM.observe(image, f"alps/{n}") for n, image in enumerate(images)]
    return torch.stack(rows)


def test_the_observation_is_the_image_where_the_last_channel_is_one():
    seen = observed()
    assert seen.shape[1:] == PROBLEM.observation_shape == (4, 32, 48)
    shown = seen[:, 3].bool()
    assert shown.flatten(1).sum(1).tolist() == [32 * 48 // 2] * 3
    rounded = np.rint(IMAGES.numpy().astype(np.float64) * 255) / 255
    expected = rounded * shown[:, None].numpy()
    assert np.abs(seen[:, :3].numpy() - expected).max() < 1e-6


def test_the_mask_hangs_on_the_image_s_id_and_on_nothing_else():
    masks = observed()[:, 3]
    assert torch.equal(observed(IMAGES.flip(-1))[:, 3], masks)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert 0.4 < (masks[one] != masks[other]).float().mean() < 0.6


def test_each_row_is_reobserved_by_its_own_mask():
    seen = observed()
    operator = PROBLEM.at(seen).operator
    assert torch.equal(operator(IMAGES), seen[:, :3])
    assert not torch.equal(operator(IMAGES.flip(0)).flip(0), seen[:, :3])
    several = PROBLEM.at(seen[1]).operator(IMAGES)  # samples of one image
    assert torch.equal(several[1], seen[1, :3])
    assert (several[:, :, seen[1, 3] == 0] == 0).all()


def test_the_twin_has_adjoint_and_pseudo_inverse():
    linear = PROBLEM.at(observed()).linear
    x, y = (torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    left, right = (linear(x) * y).flatten(1).sum(1), (x * linear.adjoint(y)).flatten(1).sum(1)
    assert torch.allclose(left, right, atol=1e-3)
    assert torch.equal(linear(linear.pinv(linear(x))), linear(x))
    assert linear.svd() is None  # one for each row would be needed
    assert PROBLEM.at(observed()[0]).linear.svd() is not None


def test_other_problems_are_the_same_for_all_observations():
    problem = find_task("inpaint-random50").problem((32, 48))
    assert problem.at(IMAGES) is problem


def test_without_an_observation_there_is_no_operator():
    with pytest.raises(InvalidImagesError, match=r"problem\.at"):
        PROBLEM.operator(IMAGES)
    with pytest.raises(InvalidOptionError, match="differs from image to image"):
        Task(name="mine", version="1", operator=VariedMasking(), noise=Noise(0.1))


def experiment(sampler):
    data, settings = DataSet("test", photos(64, 3)), Settings(n_samples=4, chunk_size=3)
    return Experiment(
        case=Case("mine", TASK.name),
        task=TASK,
        subject=Subject(sampler),
        data=data,
        settings=settings,
        metrics=validity_metrics(load_lpips(offline=True)),
        reference=reference_scores(TASK, data, settings),
    )


def test_the_reference_fills_every_row_by_its_own_mask():
    record = evaluate(experiment(reference_sampler(TASK.problem((64, 64))))).record
    assert record.validity["psnr"].mean == 100
    assert record.contract == ()
    assert record.skill["crps"].value == pytest.approx(0, abs=1e-9)


def test_the_mask_s_channel_is_not_scored():
    asked = []

    def gray(observation, generators):
        asked.append(observation.shape[1:])
        noise = [torch.rand(1, 1, 1, generator=g) / 255 for g in generators]
        return (0.5 + torch.stack(noise)).expand(-1, 3, 64, 64)

    made = experiment(gray)
    record = evaluate(made).record
    assert set(asked) == {(4, 64, 64)}
    photo = made.data.photos[0]
    shown = observe(photo, made.problem, CPU).observation[3].numpy()
    target = photo.pixels.numpy() * shown.astype(np.uint8)
    levels = [np.full((3, 64, 64), k, np.uint8) * shown.astype(np.uint8) for k in (128, 129)]
    bounds = sorted(peak_signal_noise_ratio(target, level) for level in levels)
    assert bounds[0] - 0.01 <= record.validity["psnr"].per_image[0] <= bounds[1] + 0.01


def test_files_cannot_hold_such_observations(tmp_path, capsys):
    arguments = ["observe", "--task", "inpaint-varied50", "--images", str(tmp_path)]
    assert main([*arguments, "-o", str(tmp_path / "out")]) is ExitCode.USAGE
    assert "does not fit into an image file" in capsys.readouterr().err
