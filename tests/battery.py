"""Statistical tests of normals by their key, for as many draws as wanted.

`Battery` takes draws chunk by chunk and keeps sums and counts only; `results` turns these into p-values. It knows
nothing of how the normals are made, save that components 2b and 2b + 1 are partners of Box and Muller: from these it
recovers the two uniforms, whose bits it tests. Every null distribution is exact, or its error is far below the
deviations of 10^9 draws.

`TWINS` are generators with one fault each, which the battery must find.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import special, stats

STEPS, COMPONENTS, TRAJECTORIES = 32, 4, 2048
CHUNK = STEPS * COMPONENTS * TRAJECTORIES
SMALLEST_P = 1e-6

#: Shifts between correlated draws, as (step, component, trajectory).
LAGS = (
    *((0, 0, lag) for lag in (1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 256, 1024)),
    *((lag, 0, 0) for lag in (1, 2, 3, 4, 8, 16)),
    *((0, lag, 0) for lag in (1, 2, 3)),
    *((1, 0, 1), (1, 0, -1), (1, 1, 0), (1, -1, 0), (0, 1, 1), (0, 1, -1), (1, 1, 1)),
)
#: Other keys whose draws must not be like these: changes of (seed, stream, trajectory, step).
ELSEWHERE = {
    "seed + 1": (1, 0, 0, 0),
    "seed + 2^32": (2**32, 0, 0, 0),
    "stream 0": (0, -1, 0, 0),
    "trajectory + 2^32": (0, 0, 2**32, 0),
    "step + 2^32": (0, 0, 0, 2**32),
    "step and trajectory swapped": None,
}
#: Orders of the Hermite polynomials that are correlated: values, squares, cubes, values with squares.
ORDERS = ((1, 1), (2, 2), (3, 3), (1, 2))
BITS = 16  # of the fine histogram
COARSE = 6  # bits of each value in the histograms of pairs
SHIFTS = (0, 8, 16, 24, 32, 40)  # bits of the uniforms skipped before eight of them are counted
EDGES = (3.0, 4.0, 5.0, 6.0, 6.5)


@dataclass(frozen=True)
class Result:
    """What one test found."""

    name: str
    statistic: str
    p: float

    @property
    def failed(self):
        return not self.p >= SMALLEST_P


class Battery:
    """Sums and counts of the draws of ``fill(out, seed, stream, first_trajectory, step)``."""

    def __init__(self, fill, seed):
        self.fill, self.seed = fill, seed
        self.n = self.chunks = 0
        self.power = np.zeros(9)
        self.largest = 0.0
        self.tail = np.zeros((2, len(EDGES)), dtype=np.int64)
        self.count = defaultdict(int)  # histograms by name
        self.product = defaultdict(lambda: [0.0, 0])  # sums of products and their number, by name

    def draws(self, change=(0, 0, 0, 0)):
        """Normals of one chunk, shape (step, component, trajectory)."""
        # Every fourth chunk lies across the limit of 32 bits, in both indices.
        base = 2**32 - 512 if self.chunks % 4 == 3 else 0
        trajectory = base + TRAJECTORIES * (self.chunks // 4 % 8)
        step = max(0, base) + STEPS * (self.chunks % 4 + 4 * (self.chunks // 32))
        swapped = change is None
        seed, stream, more_trajectories, more_steps = change or (0, 0, 0, 0)
        if swapped:
            trajectory, step = step, trajectory
        out = np.empty((STEPS, COMPONENTS, TRAJECTORIES))
        for i in range(STEPS):
            key = (self.seed + seed, 1 + stream, trajectory + more_trajectories, step + more_steps + i)
            self.fill(out[i], np.uint64(key[0]), np.uint64(key[1]), np.int64(key[2]), np.int64(key[3]))
        return out

    def take(self, n_chunks):
        """Draw some more chunks of `CHUNK` normals."""
        names = list(ELSEWHERE)
        for _ in range(n_chunks):
            z = self.draws()
            name = names[self.chunks % len(names)]
            hermite = polynomials(z)
            self._law(z)
            self._correlations(hermite)
            self._multiply(f"with {name}", hermite, polynomials(self.draws(ELSEWHERE[name])))
            self._bits(z)
            self._orders(z)
            self.chunks += 1
            self.n += z.size

    def _law(self, z):
        power = np.ones_like(z)
        for order in range(1, 9):
            power *= z
            self.power[order] += power.sum()
        size = np.abs(z)
        self.largest = max(self.largest, float(size.max()))
        far = z[size > EDGES[0]]
        for i, edge in enumerate(EDGES):
            self.tail[:, i] += (np.count_nonzero(far < -edge), np.count_nonzero(far > edge))
        fine = np.minimum((special.ndtr(z) * 2**BITS).astype(np.int64), 2**BITS - 1)
        self.count["values"] += np.bincount(fine.ravel(), minlength=2**BITS)
        coarse = fine >> (BITS - COARSE)
        for name, left, right in (
            ("partners", coarse[:, 0::2], coarse[:, 1::2]),
            ("components 1 and 2", coarse[:, 1], coarse[:, 2]),
            ("neighbouring trajectories", coarse[:, :, 0::2], coarse[:, :, 1::2]),
            ("neighbouring steps", coarse[0::2], coarse[1::2]),
        ):
            pair = (left << COARSE) | right
            self.count[f"pairs of {name}"] += np.bincount(pair.ravel(), minlength=4**COARSE)

    def _correlations(self, hermite):
        for lag in LAGS:
            here = tuple(slice(max(0, -k), min(0, -k) or None) for k in lag)
            there = tuple(slice(max(0, k), min(0, k) or None) for k in lag)
            name = "at step {:+d}, component {:+d}, trajectory {:+d}".format(*lag)
            self._multiply(name, [h[here] for h in hermite], [h[there] for h in hermite])

    def _multiply(self, name, left, right):
        for i, j in ORDERS:
            entry = self.product[f"He{i} He{j} {name}"]
            entry[0] += float(np.einsum("abc,abc->", left[i - 1], right[j - 1]))
            entry[1] += left[0].size

    def _bits(self, z):
        """Eight bits at a time of the uniforms that Box and Muller's partners come from, and weights of their words."""
        radius = np.exp(-0.5 * (z[:, 0::2] ** 2 + z[:, 1::2] ** 2))
        turn = np.arctan2(z[:, 1::2], z[:, 0::2]) / (2 * np.pi)
        turn += turn < 0
        for name, uniform in (("radius", radius), ("angle", turn)):
            for shift in SHIFTS:
                bits = (uniform * 2.0 ** (shift + 8)).astype(np.int64) & 255
                self.count[f"bits {shift} to {shift + 7} of the {name}"] += np.bincount(bits.ravel(), minlength=256)
        # Number of ones in the 32 leading bits, as a variable of mean 0 and variance 1.
        weight = [(np.bitwise_count((u * 2.0**32).astype(np.int64)) - 16.0) / np.sqrt(8.0) for u in (radius, turn)]
        pairs = [("radius and angle", weight[0], weight[1])]
        for name, w in zip(("radius", "angle"), weight, strict=True):
            pairs.append((f"{name}, neighbouring trajectories", w[..., 1:], w[..., :-1]))
            pairs.append((f"{name}, neighbouring steps", w[1:], w[:-1]))
            pairs.append((f"{name}, neighbouring blocks", w[:, 1:], w[:, :-1]))
        for name, left, right in pairs:
            entry = self.product[f"weights of the words of {name}"]
            entry[0] += float(np.einsum("abc,abc->", left, right))
            entry[1] += left.size

    def _orders(self, z):
        """Orders of four draws in a row, and changes of sign."""
        four = {"steps": [z[i::4] for i in range(4)], "trajectories": [z[..., i::4] for i in range(4)]}
        for name, row in four.items():
            smaller = [(row[i] < row[j]).astype(np.int64) for i, j in combinations(range(4), 2)]
            order = sum(bit << k for k, bit in enumerate(smaller))
            self.count[f"orders of four {name}"] += np.bincount(order.ravel(), minlength=64)
        negative = z < 0
        for name, changed in (
            ("steps", negative[1:] != negative[:-1]),
            ("trajectories", negative[..., 1:] != negative[..., :-1]),
        ):
            self.count[f"changes of sign along {name}"] += np.array(
                [np.count_nonzero(changed), changed.size - np.count_nonzero(changed)]
            )

    def results(self):
        """All tests, as a list of `Result`."""
        return [*self._moments(), *self._tails(), *self._histograms(), *self._products()]

    def _moments(self):
        for order in range(1, 9):
            mean, square = double_factorial(order), double_factorial(2 * order)
            yield normal(f"moment {order}", (self.power[order] / self.n - mean) / np.sqrt((square - mean**2) / self.n))

    def _tails(self):
        for side, sign in enumerate("-+"):
            for i, edge in enumerate(EDGES):
                law, found = stats.binom(self.n, special.ndtr(-edge)), self.tail[side, i]
                p = two_sided(law.cdf(found), law.sf(found - 1))
                yield Result(f"beyond {sign}{edge:g}", f"{found} for {law.mean():.4g}", p)
        below = self.n * np.log1p(-2 * special.ndtr(-self.largest))  # log of the chance that all are smaller
        yield Result("largest", f"{self.largest:.4f}", two_sided(np.exp(below), -np.expm1(below)))

    def _histograms(self):
        for name, count in self.count.items():
            if name.startswith("orders"):
                count = count[count > 0]  # 24 of the 64 codes are orders
                if len(count) != 24:
                    yield Result(name, f"{len(count)} orders of 24", 0.0)
                    continue
            expected = count.sum() / len(count)
            square = float(np.sum((count - expected) ** 2) / expected)
            law = stats.chi2(len(count) - 1)
            yield Result(name, f"chi2 {square:.6g} / {len(count) - 1}", two_sided(law.cdf(square), law.sf(square)))
        # At 2^16 edges the distance is at most that of all draws: the p-value errs to the safe side.
        values = self.count["values"]
        ladder = np.arange(1, len(values) + 1) / len(values)
        distance = float(np.abs(np.cumsum(values) / self.n - ladder).max())
        yield Result("Kolmogorov's distance", f"{distance:.3g}", float(special.kolmogorov(distance * np.sqrt(self.n))))

    def _products(self):
        for name, (total, number) in self.product.items():
            yield normal(name, total / np.sqrt(number))


def polynomials(z):
    """Hermite polynomials of order 1 to 3, of variance 1."""
    square = z * z
    return z, (square - 1.0) * np.sqrt(0.5), z * (square - 3.0) * np.sqrt(1 / 6)


def double_factorial(order):
    """Moment of a standard normal: (order - 1)!! for even orders, and zero."""
    return 0.0 if order % 2 else float(special.factorial2(order - 1, exact=True))


def normal(name, z):
    """Result of a statistic that is a standard normal."""
    return Result(name, f"z {z:+.2f}", float(2 * special.ndtr(-abs(z))))


def two_sided(below, above):
    return float(min(1.0, 2 * min(below, above)))


def philox(out, seed, stream, first_trajectory, step, rounds=10, bits=53):
    """The scheme once more, by NumPy's own functions and with room for faults."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    trajectory = np.arange(out.shape[1], dtype=np.uint64) + np.uint64(first_trajectory)
    key = [np.uint64(seed) & low, np.uint64(seed) >> half]
    step, scale = np.uint64(step), 2.0**-bits
    for pair in range(out.shape[0] // 2):
        high = ((step >> half) << np.uint64(16)) | ((trajectory >> half) << np.uint64(8)) | np.uint64(stream)
        c = [np.full_like(trajectory, step & low), trajectory & low, np.full_like(trajectory, pair), high]
        k0, k1 = key
        for _ in range(rounds):
            p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
            c = [(p1 >> half) ^ c[1] ^ k0, p1 & low, (p0 >> half) ^ c[3] ^ k1, p0 & low]
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
        first, second = ((c[i] << half | c[i + 1]) >> np.uint64(64 - bits) for i in (0, 2))
        length = np.sqrt(-2 * np.log((first.astype(float) + 1) * scale))
        angle = 2 * np.pi * scale * second.astype(float)
        out[2 * pair], out[2 * pair + 1] = length * np.cos(angle), length * np.sin(angle)


def changed(change=lambda out: None, **options):
    """A generator whose normals are changed once they are made."""

    def fill(out, seed, stream, first_trajectory, step):
        philox(out, seed, stream, first_trajectory, step, **options)
        change(out)

    return fill


def scale(out):
    out *= 1.01


def offset(out):
    out += 0.01


def reuse(out):
    """One trajectory in a hundred gets what its neighbour got."""
    out[:, 1::100] = out[:, 0 : out.shape[1] - 1 : 100]


def same_size(out):
    """One trajectory in thirty is as far out as its neighbour, on a side of its own."""
    out[:, 1::30] = np.copysign(out[:, 0 : out.shape[1] - 1 : 30], out[:, 1::30])


def cut(out):
    np.clip(out, -4.0, 4.0, out=out)


def partners(out):
    """The second of Box and Muller's partners follows the first with a correlation of 2 per cent."""
    out[1::2] = 0.02 * out[0::2] + np.sqrt(1 - 0.02**2) * out[1::2]


def without(*ignored):
    """A generator that does not look at some of (seed, stream, trajectory, step), or at their high bits."""

    def fill(out, seed, stream, first_trajectory, step):
        low = np.uint64(0xFFFFFFFF)
        philox(
            out,
            np.uint64(seed) & low if "seed" in ignored else seed,
            np.uint64(1) if "stream" in ignored else stream,
            np.uint64(first_trajectory) & low if "trajectory" in ignored else first_trajectory,
            np.uint64(step) & low if "step" in ignored else step,
        )

    return fill


#: Faults that must be found.
TWINS = {
    "one per cent too wide": changed(scale),
    "a hundredth too far right": changed(offset),
    "a neighbour's normal, one in a hundred": changed(reuse),
    "a neighbour's size, one in thirty": changed(same_size),
    "partners correlated": changed(partners),
    "cut at four deviations": changed(cut),
    "uniforms of 32 bits, cut at 6.66 deviations": changed(bits=32),
    "six rounds of the cipher": changed(rounds=6),
    "high bits of the seed ignored": without("seed"),
    "stream ignored": without("stream"),
    "high bits of the trajectory ignored": without("trajectory"),
    "high bits of the step ignored": without("step"),
}
