#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fits the polynomials of include/recur/kernels/activations.hpp and prints them.

    expm1(r) = r (1 + r/2 + c_2 r^2 + ... + c_n r^n)     for |r| <= ln(2)/2

with the least greatest relative error (Remez' exchange algorithm, in decimals of 60 digits). 1 and
1/2 are kept: they are exact in binary, and near zero they are all that counts. Deterministic; needs
Python's standard library only.
"""

import math
import struct
from decimal import Decimal, getcontext

getcontext().prec = 60
HALF_LN2 = Decimal(2).ln() / 2
RANGE = HALF_LN2 * Decimal("1.001")  # the rounding that finds k is not exact
FIXED = [Decimal(1), Decimal("0.5")]


def quotient(r):
    """expm1(r) / r"""
    return (r.exp() - 1) / r


def horner(coefficients, r):
    total = Decimal(0)
    for c in reversed(coefficients):
        total = total * r + c
    return total


def relative_error(coefficients, r):
    return horner(coefficients, r) / quotient(r) - 1


def solve(rows, right):
    """Gaussian elimination with pivoting."""
    size = len(right)
    m = [row[:] + [b] for row, b in zip(rows, right)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(m[k][i]))
        m[i], m[pivot] = m[pivot], m[i]
        for k in range(i + 1, size):
            factor = m[k][i] / m[i][i]
            m[k] = [a - factor * b for a, b in zip(m[k], m[i])]
    x = [Decimal(0)] * size
    for i in reversed(range(size)):
        x[i] = (m[i][size] - sum(m[i][k] * x[k] for k in range(i + 1, size))) / m[i][i]
    return x


def remez(degree):
    """Coefficients 0 .. degree and the greatest relative error."""
    free = range(len(FIXED), degree + 1)
    count = len(free) + 1  # points of alternating error
    points = [RANGE * Decimal(-math.cos(math.pi * (i + 0.5) / count)) for i in range(count)]
    grid = [RANGE * i / 1000 for i in range(-1000, 1001) if i != 0]
    for _ in range(50):
        rows, right = [], []
        for i, r in enumerate(points):
            g = quotient(r)
            rows.append([r**k for k in free] + [g * (-1) ** i])
            right.append(g - horner(FIXED, r))
        coefficients = FIXED + solve(rows, right)[:-1]
        extrema = []  # the greatest error of every run of one sign
        for r in grid:
            e = relative_error(coefficients, r)
            if not extrema or (e > 0) != (extrema[-1][1] > 0):
                extrema.append((r, e))
            elif abs(e) > abs(extrema[-1][1]):
                extrema[-1] = (r, e)
        while len(extrema) > count:
            extrema.pop(0 if abs(extrema[0][1]) < abs(extrema[-1][1]) else -1)
        assert len(extrema) == count, "no alternation"
        points = [r for r, _ in extrema]
        errors = [abs(e) for _, e in extrema]
        if max(errors) < min(errors) * Decimal("1.0001"):
            break
    return coefficients, max(errors)


def to_float(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


for name, degree, rounded, digits in (("float", 5, to_float, 9), ("double", 10, float, 17)):
    exact, error = remez(degree)
    stored = [rounded(c) for c in exact]
    grid = [RANGE * i / 5000 for i in range(-5000, 5001) if i != 0]
    stored_error = max(abs(relative_error([Decimal(c) for c in stored], r)) for r in grid)
    print(f"{name}: relative error {error:.2e}, with rounded coefficients {stored_error:.2e}")
    for c in stored:
        print(f"  {c:.{digits}g}")
