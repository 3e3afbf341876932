r"""How much of the correction a photo gets: a number that the caller gives, or "auto", which follows the dust score.

With "auto" the strength rises smoothly and monotonically with the dust score :math:`p`:

.. math:: s(p) = S\left(\frac{p - \text{LOW}}{\text{HIGH} - \text{LOW}}\right), \qquad
    S(x) = 3x^2 - 2x^3 \text{ for } x \in [0, 1], \text{ 0 below and 1 above}

so that clear photos stay as they are, dusty ones are corrected fully, and no photo jumps between the two.
"""

from typing import Literal

AUTO = "auto"  # the strength that follows the dust score
LOW, HIGH = 0.05, 0.25  # dust scores up to which nothing, and from which everything, of the correction is applied

Strength = float | Literal["auto"]


def check_strength(strength: Strength) -> None:
    """Refuse what is neither "auto" nor a number in [0, 1].

    Raises:
        ValueError: names the setting.
    """
    if strength != AUTO and (isinstance(strength, str) or not 0 <= strength <= 1):
        expected = 'expected "auto" or a number from 0 (no change) to 1 (full change)'
        raise ValueError(f"strength: {expected}, got {strength}.")


def find_strength(strength: Strength, dust_score: float | None) -> float:
    """Give the strength in [0, 1] for a photo.

    Args:
        strength: "auto", or a number, which is returned as it is.
        dust_score: 0 no dust, 1 dust; None if the network gives none, as files of weights of older releases: then the
            full correction is applied.

    Example:
        >>> find_strength("auto", 0.0), find_strength("auto", 1.0), find_strength("auto", None), find_strength(0.3, 1.0)
        (0.0, 1.0, 1.0, 0.3)
    """
    if strength != AUTO:
        return float(strength)
    return 1.0 if dust_score is None else smoothstep(dust_score, LOW, HIGH)


def smoothstep(value: float, low: float, high: float) -> float:
    """Rise smoothly from 0 at `low` to 1 at `high`.

    Example:
        >>> smoothstep(0.1, 0.2, 0.4), smoothstep(0.5, 0.0, 1.0), smoothstep(2.0, 0.0, 1.0)
        (0.0, 0.5, 1.0)
    """
    x = min(max((value - low) / (high - low), 0.0), 1.0)
    return x * x * (3 - 2 * x)
