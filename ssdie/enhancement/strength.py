r"""The strength of the correction: a number, or "auto", which depends on the dust score of the photo.

With "auto" the strength rises smoothly and monotonically with the dust score :math:`p`:

.. math:: s(p) = S\left(\frac{p - \text{LOW}}{\text{HIGH} - \text{LOW}}\right), \qquad
    S(x) = 3x^2 - 2x^3 \text{ for } x \in [0, 1], \text{ 0 below and 1 above}

so that clear photos stay unchanged, dusty photos are corrected fully, and small changes of a photo have small effects.
"""

from typing import Literal

AUTO = "auto"  # the strength that follows the dust score
LOW, HIGH = 0.05, 0.25  # dust scores up to which the strength is 0, and from which it is 1

Strength = float | Literal["auto"]


def check_strength(strength: Strength) -> None:
    """Check that a strength is "auto" or a number in [0, 1].

    Raises:
        ValueError: it is neither.
    """
    if strength != AUTO and (isinstance(strength, str) or not 0 <= strength <= 1):
        expected = 'expected "auto" or a number from 0 (no change) to 1 (full change)'
        raise ValueError(f"strength: {expected}, got {strength}.")


def find_strength(strength: Strength, dust_score: float | None) -> float:
    """Return the strength in [0, 1] for a photo.

    Args:
        strength: "auto", or a number, which is returned unchanged.
        dust_score: 0 for no dust, 1 for dense dust; None if the model has no dust classifier, as files of release
            0.1.0: "auto" is then 1.

    Example:
        >>> find_strength("auto", 0.0), find_strength("auto", 1.0), find_strength("auto", None), find_strength(0.3, 1.0)
        (0.0, 1.0, 1.0, 0.3)
    """
    if strength != AUTO:
        return float(strength)
    return 1.0 if dust_score is None else smoothstep(dust_score, LOW, HIGH)


def smoothstep(value: float, low: float, high: float) -> float:
    """Interpolate smoothly between 0 at `low` and 1 at `high`: S of the module's formula.

    Example:
        >>> smoothstep(0.1, 0.2, 0.4), smoothstep(0.5, 0.0, 1.0), smoothstep(2.0, 0.0, 1.0)
        (0.0, 0.5, 1.0)
    """
    x = min(max((value - low) / (high - low), 0.0), 1.0)
    return x * x * (3 - 2 * x)
