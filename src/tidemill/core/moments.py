"""Exact sums over units of unequal size, of which the mean of all rows and its variance are told.

A unit that changes is taken out as it was and put in as it is; the rest is not looked at. Sums of
floating-point numbers would be a little different by each order, and by each way there and back.
These are of whole numbers, so that they are the same whatever came first and however often it was
corrected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

import msgspec

FINE = 128
"""Numbers are counted in grains of two to the power of minus so many: 3e-39."""
_LARGEST = 2.0**400


def grains(value: float) -> int | None:
    """Return a number in grains, or nothing where it is not finite, or beyond all measure.

    Example:
        >>> grains(0.5) == 2**127, grains(float("inf"))
        (True, None)
    """
    return int(math.ldexp(value, FINE)) if abs(value) < _LARGEST else None


class Moments(msgspec.Struct, frozen=True, array_like=True):
    """Sums over units: how many, how large, what they come to, and the products of these.

    Attributes:
        bits: What they come to is counted in parts of two to the power of so many.
        count: How many units.
        rows: Their sizes, together.
        squares: The sizes' squares.
        total: What they come to.
        cross: The products of size and what each comes to.
        power: The squares of what each comes to.
        boundless: How many rows are beyond all measure; with one of them nothing is told.

    Example:
        Two units, of one row and of three, come to 1 and 6; then the second is mended to 9:

        >>> before = Moments.of([1, 6], [1, 3])
        >>> after = before - Moments.of([6], [3]) + Moments.of([9], [3])
        >>> before.mean, after.mean, after == Moments.of([9, 1], [3, 1])
        (1.75, 2.5, True)
    """

    bits: int = 0
    count: int = 0
    rows: int = 0
    squares: int = 0
    total: int = 0
    cross: int = 0
    power: int = 0
    boundless: int = 0

    @classmethod
    def of(
        cls, totals: Sequence[int], sizes: Sequence[int], *, bits: int = 0, boundless: int = 0
    ) -> Moments:
        """Return the sums over units.

        Args:
            totals: What each comes to.
            sizes: How many rows each has.
            bits: In which parts the totals are counted.
            boundless: How many rows are beyond all measure, and not in the totals.
        """
        return cls(
            bits=bits,
            count=len(totals),
            rows=sum(sizes),
            squares=sum(map(mul, sizes, sizes)),
            total=sum(totals),
            cross=sum(map(mul, totals, sizes)),
            power=sum(map(mul, totals, totals)),
            boundless=boundless,
        )

    def __add__(self, other: Moments) -> Moments:
        return self._joined(other, 1)

    def __sub__(self, other: Moments) -> Moments:
        return self._joined(other, -1)

    @property
    def mean(self) -> float:
        """The mean of all rows."""
        return math.nan if self.boundless else self.total / (self.rows << self.bits)

    @property
    def variance(self) -> float:
        """The mean's variance, by Taylor's linearisation of a ratio of sums; of two units on.

        Reference: Cochran, Sampling Techniques, Wiley 1977, chapter 9A.
        """
        if self.boundless:
            return math.nan
        left = self.power * self.rows**2 - 2 * self.total * self.cross * self.rows
        left += self.total**2 * self.squares
        return self.count * left / ((self.count - 1) * self.rows**4 << 2 * self.bits)

    def _joined(self, other: Moments, sign: int) -> Moments:
        return Moments(
            bits=self.bits,
            count=self.count + sign * other.count,
            rows=self.rows + sign * other.rows,
            squares=self.squares + sign * other.squares,
            total=self.total + sign * other.total,
            cross=self.cross + sign * other.cross,
            power=self.power + sign * other.power,
            boundless=self.boundless + sign * other.boundless,
        )
