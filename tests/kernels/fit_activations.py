#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fits the polynomials and tables of include/recur/kernels/activations.hpp and prints them.

    expm1(r) = r (1 + r/2 + c_2 r^2 + ... + c_n r^n)     for |r| <= ln(2)/2, or ln(2)/32

with the least greatest relative error (Remez' exchange algorithm, in decimals of 60 digits). 1 and
1/2 are kept: they are exact in binary, and near zero they are all that counts.

    2^(j/16)                                             for j = 0 .. 15
    tanh(a) = value + d (c_0 + c_1 d + ... + c_5 d^5)     d = a - centre, in each of 15 stretches

by Newton's interpolation at Chebyshev's points. Deterministic; needs Python's standard library only.
"""

import math
import struct
from decimal import Decimal, getcontext

getcontext().prec = 60
LN2 = Decimal(2).ln()
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


def remez(degree, end):
    """Coefficients 0 .. degree and the greatest relative error for |r| <= end."""
    free = range(len(FIXED), degree + 1)
    count = len(free) + 1  # points of alternating error
    points = [end * Decimal(-math.cos(math.pi * (i + 0.5) / count)) for i in range(count)]
    grid = [end * i / 1000 for i in range(-1000, 1001) if i != 0]
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


def bits_of(x):
    return struct.unpack("I", struct.pack("f", x))[0]


def float_of(bits):
    return struct.unpack("f", struct.pack("I", bits))[0]


def to_float(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def tanh(x):
    e = (2 * x).exp()
    return (e - 1) / (e + 1)


def interpolate(f, low, high, count):
    """Coefficients of the polynomial that equals f at `count` points of [low, high]."""
    points = [
        (low + high) / 2 + (high - low) / 2 * Decimal(math.cos(math.pi * (i + 0.5) / count))
        for i in range(count)
    ]
    newton = [f(x) for x in points]
    for order in range(1, count):
        for i in range(count - 1, order - 1, -1):
            newton[i] = (newton[i] - newton[i - 1]) / (points[i] - points[i - order])
    polynomial = [Decimal(0)] * count
    for x, c in zip(reversed(points), reversed(newton)):
        shifted = [Decimal(0)] + polynomial[:-1]
        polynomial = [s - x * p for s, p in zip(shifted, polynomial)]
        polynomial[0] += c
    return polynomial


def centre_of(low, high):
    """The float near the middle whose tanh, and its slope, are nearest to floats."""
    middle = bits_of(to_float((low + high) / 2))
    step = max(1, (bits_of(to_float(high)) - bits_of(to_float(low))) // 20000)

    def distance(x):
        value = tanh(Decimal(x))
        slope = 1 - value * value
        return abs(value - Decimal(to_float(value))) + abs(slope - Decimal(to_float(slope))) * (
            high - low
        ) / 2

    return min((float_of(middle + step * k) for k in range(-400, 401)), key=distance)


SHIFT = Decimal("0.75")
TANH_END = Decimal("9.2")


def tanh_table():
    """Rows of (centre, value, c_0 .. c_5), by the last exponent and first mantissa bits of
    a + 0.75: a stretch is a quarter of the numbers between two powers of two."""
    rows = [None] * 16
    worst = Decimal(0)
    for exponent in range(-1, 4):
        for quarter in range(4):
            low = Decimal(2) ** exponent * (4 + quarter) / 4 - SHIFT
            high = Decimal(2) ** exponent * (5 + quarter) / 4 - SHIFT
            if low < 0 or low > TANH_END:
                continue
            if low == 0:  # c_0 = 1 exactly, so that tanh of a tiny number is that number
                rest = interpolate(lambda d: (tanh(d) / d - 1) / d, low, high, 5)
                row = (0.0, 0.0, 1.0) + tuple(map(to_float, rest))
            else:
                centre = Decimal(centre_of(low, high))
                value = tanh(centre)

                def slope(d):
                    return (tanh(centre + d) - value) / d if d != 0 else 1 - value * value

                fitted = interpolate(slope, low - centre, high - centre, 6)
                row = (float(centre), to_float(value)) + tuple(map(to_float, fitted))
            for i in range(201):  # the ends count: the error is greatest there
                a = low + (min(high, TANH_END) - low) * i / 200
                d = a - Decimal(row[0])
                y = Decimal(row[1]) + d * horner([Decimal(c) for c in row[2:]], d)
                below_one = min(to_float(tanh(a)), float_of(bits_of(1.0) - 1))
                unit = Decimal(float_of(bits_of(below_one) + 1) - below_one)
                worst = max(worst, abs(y - tanh(a)) / unit)
            rows[(exponent + 127) % 4 * 4 + quarter] = row
    return [row or (0.0,) * 8 for row in rows], worst


for name, degree, end, rounded, digits in (
    ("float", 5, LN2 / 2, to_float, 9),
    ("double", 10, LN2 / 2, float, 17),
    ("float, by table", 2, LN2 / 32, to_float, 9),
):
    end *= Decimal("1.001")  # the rounding that finds k is not exact
    exact, error = remez(degree, end)
    stored = [rounded(c) for c in exact]
    grid = [end * i / 5000 for i in range(-5000, 5001) if i != 0]
    stored_error = max(abs(relative_error([Decimal(c) for c in stored], r)) for r in grid)
    print(f"{name}: relative error {error:.2e}, with rounded coefficients {stored_error:.2e}")
    for c in stored:
        print(f"  {c:.{digits}g}")

print("2^(j/16) as bits, less j << 19")
for j in range(16):
    print(f"  {bits_of(to_float((LN2 * j / 16).exp())) - (j << 19):#x}")

rows, error = tanh_table()
print(f"tanh: error {error:.3f} ulp before rounding; centre, value, c_0 .. c_5")
for column in zip(*rows):
    print("  " + ", ".join(f"{number:.9g}" for number in column))
