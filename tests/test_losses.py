"""The loss terms: formulas, limiting cases, gradients."""

import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ssdie import losses
from ssdie.networks.vgg import FeatureNetwork
from ssdie.ops.filters import gaussian_blur
from ssdie.ops.tone import postprocess


@pytest.fixture(scope="module")
def features():
    return FeatureNetwork("random")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mean_difference_equals_l1_loss_and_keeps_the_memory_format_of_gradients(generator, dtype):
    one, other = torch.randn(2, 2, 64, 33, 47, generator=generator, dtype=dtype)
    one = one.to(memory_format=torch.channels_last).requires_grad_()
    got, expected = losses.mean_difference(one, other), F.l1_loss(one, other)
    assert torch.isclose(got, expected)
    gradients = [torch.autograd.grad(loss, one)[0] for loss in (got, expected)]
    assert torch.allclose(*gradients) and gradients[0].is_contiguous(memory_format=torch.channels_last)


def test_reconstruction_loss_is_the_l1_distance_on_the_range_minus_one_to_one(picture):
    other = picture.flip(3)
    assert torch.isclose(losses.reconstruction_loss(picture, other), F.l1_loss(2 * picture - 1, 2 * other - 1))


def test_psnr_loss_equals_the_metric_and_weights_images_equally(picture):
    noisy = torch.stack((picture[0] * 0.7, picture[1] * 0.9))
    pairs = zip(picture.numpy(), noisy.numpy(), strict=True)
    decibels = [peak_signal_noise_ratio(*pair, data_range=1.0) for pair in pairs]
    assert abs(losses.psnr_loss(noisy, picture).item() + sum(decibels) / 2) < 0.05
    noisy.requires_grad_()
    losses.psnr_loss(noisy, picture).backward()
    steps = (noisy.grad * (noisy - picture)).sum((1, 2, 3))  # derivative with respect to a relative change of the error
    assert torch.isclose(steps[0], steps[1], rtol=0.2)


def test_ssim_loss_equals_the_metric_in_every_precision(picture):
    noisy = (picture * 0.7 + 0.1 * picture.flip(3)).clamp(0, 1)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    pairs = zip(picture.numpy(), noisy.numpy(), strict=True)
    similarities = [structural_similarity(*pair, channel_axis=0, **window)[1].mean() for pair in pairs]
    expected = 1 - sum(similarities) / len(similarities)
    assert abs(losses.ssim_loss(noisy, picture).item() - expected) < 1e-4
    with torch.autocast("cpu", torch.bfloat16):
        assert abs(losses.ssim_loss(noisy, picture).item() - expected) < 1e-4


def test_ssim_loss_has_a_gradient_on_flat_images():
    flat = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    losses.ssim_loss(flat, torch.zeros(1, 3, 16, 16)).backward()
    assert flat.grad.isfinite().all() and (flat.grad > 0).all()


def test_gram_matrix_is_the_sum_over_positions(generator):
    feature_maps = torch.randn(2, 3, 4, 5, generator=generator)
    expected = torch.einsum("nchw,nkhw->nck", feature_maps, feature_maps) / (3 * 4 * 5)
    assert torch.allclose(losses.gram_matrix(feature_maps), expected, atol=1e-6)


def test_adversarial_terms_are_binary_cross_entropy(generator):
    logits, others = torch.randn(7, generator=generator), torch.randn(5, generator=generator)
    one, zero = torch.ones(7), torch.zeros(5)
    assert torch.isclose(losses.clear_loss(logits), F.binary_cross_entropy_with_logits(logits, one))
    expected = F.binary_cross_entropy_with_logits(logits, one) + F.binary_cross_entropy_with_logits(others, zero)
    assert torch.isclose(losses.discriminator_loss(logits, others), expected / 2)


def test_consistency_compares_each_copy_with_its_own_image(picture):
    copies = torch.cat((picture + 0.1, picture - 0.3))
    assert torch.isclose(losses.consistency_loss(picture, copies), torch.tensor(0.4), atol=1e-5)  # 2 (0.1 + 0.3) / 2
    swapped = torch.cat((picture, picture)).flip(0)
    assert losses.consistency_loss(picture, swapped) > 0.05


def test_feature_losses_vanish_for_equal_images_and_have_gradients(features, picture):
    enhanced = picture.clone().requires_grad_()
    with torch.no_grad():
        expected = features(picture)
    total = losses.perceptual_loss(features(enhanced), expected) + losses.style_loss(features(enhanced), expected)
    assert total.item() == pytest.approx(0, abs=1e-6)
    shifted = (picture * 0.5).requires_grad_()
    different = features(shifted)
    (losses.perceptual_loss(different, expected) + losses.style_loss(different, expected)).backward()
    assert shifted.grad.abs().sum() > 0


def test_pseudo_labels_follow_their_formulas(picture):
    plain, exchanged = (losses.make_pseudo_label(picture, kind) for kind in ("retinex", "exchanged"))
    v = picture[:, :1]
    raw = torch.log(v + 0.01) - torch.log(gaussian_blur(v, 25.0) + 0.01)
    low, high = raw.amin((2, 3), keepdim=True), raw.amax((2, 3), keepdim=True)
    assert torch.allclose(plain[:, :1], (raw - low) / (high - low), atol=1e-6)
    assert torch.equal(exchanged, plain.flip(1)) and not torch.allclose(exchanged, plain, atol=0.05)
    joint = losses.make_pseudo_label(picture.clone().requires_grad_(), "retinex_joint")
    assert not joint.requires_grad and joint.min() >= 0 and joint.max() <= 1
    with pytest.raises(ValueError, match="retinex_joint"):
        losses.make_pseudo_label(picture, "hsv")


def test_the_pseudo_label_of_a_teacher_is_its_output_after_post_processing(picture):
    teacher = torch.nn.Conv2d(3, 3, 1)
    label = losses.make_pseudo_label(picture, "teacher", lambda x: teacher(x).clamp(0, 1))
    assert torch.equal(label, postprocess(teacher(picture).clamp(0, 1).detach())) and not label.requires_grad
    with pytest.raises(ValueError, match="expected a function for the pseudo-label"):
        losses.make_pseudo_label(picture, "teacher")


def test_the_joint_pseudo_label_of_an_opaque_veil_is_light_and_neutral():
    veil = torch.tensor([0.8, 0.55, 0.25]).view(1, 3, 1, 1).expand(1, 3, 48, 48).contiguous()
    label = losses.make_pseudo_label(veil, "retinex_joint")
    color = label.mean((0, 2, 3))
    assert color.amax() - color.amin() < 0.05 and color.mean() > 0.6
