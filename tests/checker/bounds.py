"""Says how often something may happen that was seen so many times in so many tries."""

import math

CONFIDENCE = 0.95
STEPS = 60


def upper_bound(seen: int, tries: int, confidence: float = CONFIDENCE) -> float:
    """Return the highest share that fits what was seen (Clopper and Pearson, one-sided).

    With a higher share so few would be seen in less than one of twenty series. For none seen
    that is about 3 / tries.
    """
    if not 0 <= seen <= tries:
        raise ValueError(f"{seen} of {tries} cannot be")
    if seen == tries:
        return 1.0
    if seen == 0:
        return float(-math.expm1(math.log1p(-confidence) / tries))
    low, high = seen / tries, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _at_most(seen, tries, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(seen: int, tries: int, share: float) -> float:
    """Return the probability of at most so many, by the binomial distribution."""
    return sum(
        math.exp(
            math.lgamma(tries + 1)
            - math.lgamma(k + 1)
            - math.lgamma(tries - k + 1)
            + k * math.log(share)
            + (tries - k) * math.log1p(-share)
        )
        for k in range(seen + 1)
    )
