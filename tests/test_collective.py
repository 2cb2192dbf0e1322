"""Collective forces: one function of all displacements at once, in all solvers, the ledger, and all workers."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind.engine import bias, linearisation, stored_forces
from stochbind.engine.layout import Layout
from stochbind.engine.solvers import OWN_SOLVERS
from stochbind.engine.verification import verify
from stochbind.errors import PlanError, ScenarioError, StoreMismatchError
from stochbind.forces import Force
from test_axes import AxesScenario, register, settings
from test_ledger import tree_digest

#: Directed cubic springs: strength of the force on j by k.
STRENGTH = np.array([[0.0, 0.1], [0.02, 0.0]])


def springs(x, strength):
    """Cubic springs of all pairs at once; each column by itself."""
    total = np.zeros_like(x)
    for j in range(len(x)):
        for k in range(len(x)):
            if j != k:
                stretch = x[k] - x[j]
                total[j] += strength[j, k] * stretch * stretch * stretch
    return total


def spring(x_j, x_k, p):
    stretch = x_k - x_j
    return p[0] * stretch * stretch * stretch


def mixing(x, strength):
    """The twin: columns that depend on others."""
    return springs(x, strength) + 1e-3 * x.mean(axis=1, keepdims=True)


TOGETHER = Force(function=springs, parameters=STRENGTH, collective=True)
ONE_BY_ONE = Force(function=spring, parameters=STRENGTH[:, :, None])


def pair(*forces):
    return replace(systems.underdamped_pair(), forces=forces)


def simulated(*forces, **change):
    array = pair(*forces)
    options = {"step": 0.05, "n_steps": 60, "n_trajectories": 8, "seed": 4, "save_every": 4, **change}
    return sb.simulate(array, initial=array.initial_moments("thermal"), **options)


# ---------------------------------------------------------------------- the same as forces of pairs


@pytest.mark.parametrize("solver", ["strang", "heun", "euler_maruyama", "sdeint:stratHeun"])
def test_it_is_the_sum_of_its_pairs(solver):
    options = {"solver": solver, "allowed_bias": 3.0}
    found, expected = (simulated(force, **options).position.to_numpy() for force in (TOGETHER, ONE_BY_ONE))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    twin = simulated(replace(TOGETHER, parameters=STRENGTH.T), **options).position.to_numpy()
    assert np.abs(twin - expected).max() > 1e-3  # the twin: effect and cause exchanged


def test_overdamped_too():
    def path(force):
        array = replace(systems.overdamped_pair(), forces=(force,))
        return sb.simulate(array, step=0.05, n_steps=40, n_trajectories=4, allowed_bias=0.1).position.to_numpy()

    np.testing.assert_allclose(path(TOGETHER), path(ONE_BY_ONE), rtol=0, atol=1e-12)


def test_several_at_once():
    """Of one function with other parameters, and beside forces of pairs."""
    more = replace(TOGETHER, parameters=3.0 * STRENGTH)
    found = simulated(TOGETHER, more).position.to_numpy()
    expected = simulated(replace(TOGETHER, parameters=4.0 * STRENGTH)).position.to_numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    mixed = simulated(replace(ONE_BY_ONE, parameters=3.0 * ONE_BY_ONE.parameters), TOGETHER).position.to_numpy()
    np.testing.assert_allclose(mixed, expected, rtol=0, atol=1e-12)
    twice = simulated(TOGETHER, TOGETHER).position.to_numpy()
    assert np.abs(twice - expected).max() > 1e-3  # the twin: the parameters of the first for both


def test_equations_call_it():
    equations = pair(TOGETHER).langevin()
    x = np.random.default_rng(1).normal(size=(4, 5))
    expected = pair(ONE_BY_ONE).langevin().drift(x)
    np.testing.assert_allclose(equations.drift(x), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(equations.drift(x[:, 0]), expected[:, 0], rtol=0, atol=1e-14)


# ---------------------------------------------------------------------- how it is called


def test_bits_do_not_depend_on_how_trajectories_are_batched():
    many = {"n_trajectories": 300, "n_steps": 8}
    whole = simulated(TOGETHER, n_threads=1, **many).position.to_numpy()  # 300 columns
    np.testing.assert_array_equal(simulated(TOGETHER, n_threads=3, **many).position, whole)  # 128, 128 and 44
    np.testing.assert_array_equal(simulated(TOGETHER, **{**many, "n_trajectories": 3}).position, whole[:3])
    mixed = replace(TOGETHER, function=mixing)
    one, three = (simulated(mixed, n_threads=n, **many).position.to_numpy() for n in (1, 3))
    assert not np.array_equal(one, three)  # the twin: a function that does not keep to its columns


class Counted:
    """Counts calls, and looks at what it gets."""

    def __init__(self):
        self.calls, self.fine = 0, True

    def __call__(self, x, strength):
        self.calls += 1
        self.fine &= x.flags.c_contiguous and not x.flags.writeable and strength.flags.c_contiguous
        self.fine &= x.dtype == strength.dtype == np.float64 and strength.shape == (2, 2)
        return springs(x, strength)


def test_it_is_called_once_a_step():
    """The last kick of a step and the first of the next are at one place."""
    equations = pair(Force(function=(count := Counted()), parameters=STRENGTH, collective=True)).langevin()
    program = OWN_SOLVERS["strang"].program(equations, 0.05)
    state, total = np.zeros((4, 3)), np.zeros((program.n_totals, 3))
    count.calls = 0
    program.run(state, total, seed=1, first_trajectory=0, first_step=0, save_every=5, n_saves=4)
    assert count.calls == 20 + 1
    assert count.fine


# ---------------------------------------------------------------------- judging a step


def test_slopes_are_those_of_the_function():
    """Against complex steps, at a place that is not symmetric."""
    equations = pair(TOGETHER).langevin()
    state = np.array([0.4, -0.7, 0.0, 0.0])
    drift, slope = linearisation.force_slope(equations, state)
    unit = equations.unit[:2]

    def force(x):
        stretch = x[1] - x[0]
        return np.array([STRENGTH[0, 1] * stretch**3, -STRENGTH[1, 0] * stretch**3])

    jacobian = np.stack([force(state[:2] * unit + 1e-30j * e).imag / 1e-30 for e in np.eye(2)], axis=1)
    expected = equations.force_scale[:, None] * jacobian * unit
    np.testing.assert_allclose(drift[2:], equations.force_scale * force(state[:2] * unit), rtol=1e-12)
    np.testing.assert_allclose(slope[2:, :2], expected, rtol=1e-6)
    assert np.abs(slope[2:, :2] - expected.T).max() > 1e-2  # the twin: transposed


def test_a_step_is_judged_as_with_forces_of_pairs():
    found, expected = (
        bias.judge(OWN_SOLVERS["strang"], pair(force).langevin(), 0.3).variance for force in (TOGETHER, ONE_BY_ONE)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(PlanError, match="too long"):
        simulated(replace(TOGETHER, parameters=30.0 * STRENGTH), step=1.0)


def pull(x, matrix):
    """A linear force; sums of products in one order."""
    total = np.zeros_like(x)
    for j in range(len(x)):
        for k in range(len(x)):
            total[j] += matrix[j, k] * x[k]
    return total


def test_a_linear_one_has_the_exact_steady_state():
    """The force matrix of a pair, half in the equations and half in the function."""
    array = systems.underdamped_pair()
    half = replace(
        array, stiffness=0.5 * array.stiffness, coupling=0.5 * array.coupling,
        forces=(Force(function=pull, parameters=-0.5 * array.force_matrix, collective=True),),
    )  # fmt: skip
    initial = half.initial_moments("rest")
    found = sb.simulate(half, step=0.1, n_steps=2000, save_every=4, n_trajectories=256, initial=initial)
    sample = found.position.to_numpy()[:, 100:]
    each = np.einsum("bti,btj->bij", sample, sample) / sample.shape[1]
    unit = array.langevin().unit[:2]
    truth = array.langevin().stationary_covariance()[:2, :2] * np.outer(unit, unit)
    error = each.std(axis=0) / 16
    assert (np.abs(each.mean(axis=0) - truth) < 5 * error + 0.01 * np.abs(truth)).all()  # 1 %: what the step may cost
    twin = replace(array, coupling=array.coupling.T).langevin()
    wrong = twin.stationary_covariance()[:2, :2] * np.outer(twin.unit[:2], twin.unit[:2])
    assert (np.abs(each.mean(axis=0) - wrong) > 5 * error + 0.01 * np.abs(truth)).any()


# ---------------------------------------------------------------------- the ledger


@pytest.mark.parametrize("step", [0.01, 0.0025])
def test_its_work_is_each_particles_own(step):
    """Of a reciprocal one, the sum of the work is what its potential loses; of pairs, the work of all partners.

    Work is force times mean velocity, and what the noise does inside a step is missing in it: to first order in the
    step it differs from what the potential loses.
    """
    both = np.array([[0.0, 0.1], [0.1, 0.0]])
    options = {"step": step, "n_steps": round(2.0 / step), "save_every": 1}
    runs = []
    for force in (
        Force(function=springs, parameters=both, collective=True),
        replace(ONE_BY_ONE, parameters=both[..., None]),
    ):
        array = pair(force)
        runs.append(simulated(force, ledger=array, **options))
    together, apart = (run.work.to_numpy() for run in runs)
    linear = simulated(ledger=pair(), **options).work.to_numpy()
    assert np.abs(together[..., 0, 0]).max() > 0.01
    np.testing.assert_array_equal(linear[..., [0, 1], [0, 1]], 0.0)
    np.testing.assert_allclose(together.sum(axis=-1), apart.sum(axis=-1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(runs[0].heat, runs[1].heat, rtol=0, atol=1e-12)
    stretch = np.diff(runs[0].position.to_numpy(), axis=-1)[..., 0]
    potential = 0.1 * stretch**4 / 4
    lost = potential[:, :1] - potential[:, 1:]
    gained = together[..., [0, 1], [0, 1]].sum(axis=-1)
    gained = gained[:, 1:] - gained[:, :1]
    np.testing.assert_allclose(gained, lost, rtol=0, atol=0.4 * step)
    assert np.abs(gained + lost).max() > 0.05  # the twin: the other sign


# ---------------------------------------------------------------------- what is refused


def test_wrong_collective_forces_are_refused():
    with pytest.raises(ScenarioError, match=r"of shape \(N, P\), but `parameters` have the shape \(2, 2, 1\)"):
        Force(function=springs, parameters=np.zeros((2, 2, 1)), collective=True)
    with pytest.raises(ScenarioError, match="but `active` leaves some out"):
        Force(function=springs, parameters=STRENGTH, active=np.array([True, False]), collective=True)
    with pytest.raises(ScenarioError, match=r"acts along 3 positions, but there are 2"):
        pair(Force(function=springs, parameters=np.zeros((3, 1)), collective=True)).langevin()
    assert TOGETHER.vectorized


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (
            lambda x, p: x[0],
            r"must return real numbers of the shape of the displacements, \(2, \d\), but returns float64",
        ),
        (lambda x, p: x + 0j, r"real numbers .* but returns complex128 of shape \(2, \d\)"),
        (lambda x, p: None, "real numbers .* but returns object"),
        (lambda x, p: x.fill(0.0), r"`<lambda>` cannot be evaluated \(ValueError: assignment destination is read-only"),
        (lambda x, p: np.full_like(x, np.nan), "`<lambda>` has no finite value, or no finite slope"),
    ],
    ids=["shape", "complex", "nothing", "in place", "nan"],
)
def test_functions_that_give_something_else_are_told(function, sentence):
    with pytest.raises(PlanError, match=sentence):
        simulated(Force(function=function, parameters=STRENGTH, collective=True))


def test_what_a_force_of_the_package_raises_is_not_the_fault_of_the_user():
    """Told as it is, with its traceback; the same from a function of one's own is told in a sentence."""

    def broken(x, p):
        raise KeyError("broken")

    with pytest.raises(PlanError, match=r"`broken` cannot be evaluated \(KeyError: 'broken'\)"):
        simulated(Force(function=broken, parameters=STRENGTH, collective=True))
    broken.__module__ = "stochbind.fields.dipoles"
    with pytest.raises(KeyError, match="broken"):
        simulated(Force(function=broken, parameters=STRENGTH, collective=True))


# ---------------------------------------------------------------------- stores and workers


@dataclass(frozen=True)
class Springs:
    """A function with numbers of its own, as an object and as a method of it."""

    strength: float
    table: np.ndarray = field(default_factory=lambda: np.array([1.0, 2.0]))

    def __call__(self, x, parameters):
        return self.strength * springs(x, parameters)

    def method(self, x, parameters):
        return self._factor() * springs(x, parameters)

    def _factor(self):
        return self.strength * self.table[0]


def own_plan(*functions, **change):
    forces = tuple(Force(function=function, parameters=STRENGTH, collective=True) for function in functions)
    options = {"step": 0.05, "n_steps": 40, "n_trajectories": 40, "save_every": 4, "seed": 3, "ledger": True, **change}
    return sb.Plan(scenario=systems.pair_scenario(0.4, 0.1), forces=forces, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("collective") / "run.zarr"
    sb.run(own_plan(springs), path, workers="serial")
    return path


def test_objects_and_methods_reach_processes_and_dask(finished, tmp_path):
    """Half of the force by an object, half by a method of another: halves are exact."""
    expected = sb.open(finished).load()
    plan = own_plan(Springs(0.5), Springs(0.5).method)
    with sb.process_workers(1) as processes, sb.local_dask_workers(1) as dask:
        for name, workers in (("processes", processes), ("dask", dask)):
            path = tmp_path / name
            sb.Store.create(path, plan, Layout(16, 4, 1))
            sb.run(plan, path, workers=workers)
            for array in ("position", "work", "heat"):
                np.testing.assert_array_equal(sb.open(path)[array], expected[array])
    report = verify(sb.Store.open(path), recompute=2, plan=plan)
    assert report.whole
    assert report.n_recomputed == 2
    other = tmp_path / "other"
    sb.run(own_plan(Springs(0.5), Springs(0.75).method), other, workers="serial")
    assert np.abs(sb.open(other)["position"] - expected["position"]).max() > 1e-4  # the twin


def test_a_store_knows_it_by_name_only(finished):
    plan = sb.Store.open(finished).plan
    assert plan.forces[0].collective
    assert plan.fingerprint == own_plan(springs).fingerprint
    with pytest.raises(StoreMismatchError, match=r"forces\[0\]\.source"):
        sb.run(own_plan(pull), finished)
    one_by_one = sb.Plan(
        scenario=plan.scenario, forces=(ONE_BY_ONE,), step=0.05, n_steps=40, n_trajectories=40, save_every=4, seed=3
    )
    assert "collective" not in one_by_one.to_dict()["forces"][0]  # other plans are what they were


def test_identities_see_what_an_object_holds():
    def of(function):
        return stored_forces.identity(function)[1]

    one = Springs(1.0)
    assert of(one) == of(Springs(1.0))
    assert of(one.method) == of(Springs(1.0).method)
    others = {
        of(one),
        of(one.method),
        of(Springs(2.0)),
        of(Springs(1.0, np.array([1.0, 3.0]))),
        of(Springs(2.0).method),
    }
    assert len(others) == 5

    def changed(self):
        return 2.0 * self.strength * self.table[0]

    before, usual = of(one.method), Springs._factor
    Springs._factor = changed
    try:
        assert of(one.method) != before
    finally:
        Springs._factor = usual
    assert stored_forces.identity(one)[0] == "Springs"
    with pytest.raises(PlanError, match="has neither source nor code"):
        stored_forces.identity(Counted())


@dataclass
class Registered:
    """Pulls all displacements back; where it is unpickled, stores know the kind of its scenario."""

    strength: float

    def __setstate__(self, state):
        register(PulledScenario, pytest.MonkeyPatch())
        self.__dict__.update(state)

    def __call__(self, x, parameters):
        return -self.strength * pull(x, parameters)


class PulledScenario(AxesScenario):
    """With a collective force of its own, which each worker makes again from the scenario."""

    def _forces(self, stiffness):
        function = Registered(0.3 * self.particle[0].mass).__call__  # a bound method
        return (Force(function=function, parameters=np.eye(len(stiffness)), collective=True),)


def test_workers_make_the_force_of_a_scenario_again(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        register(PulledScenario, patch)
        scenario = PulledScenario(**settings(directions=("x", "y", "z")))
        # A force of no effect brings the kind to the other processes.
        carrier = Force(function=Registered(0.0), parameters=np.eye(6), collective=True)
        plan = sb.Plan(scenario=scenario, forces=(carrier,), step=0.1, n_steps=16, n_trajectories=8, seed=2)
        sb.Store.create(tmp_path / "a.zarr", plan, Layout(4, 8, 1))
        sb.run(plan, tmp_path / "a.zarr", workers="serial")
        sb.Store.create(tmp_path / "b.zarr", plan, Layout(4, 8, 1))
        with sb.process_workers(1) as workers:
            sb.run(plan, tmp_path / "b.zarr", workers=workers)
        assert tree_digest(tmp_path / "a.zarr") == tree_digest(tmp_path / "b.zarr")
        bare = sb.simulate(
            AxesScenario(**settings(directions=("x", "y", "z"))).oscillators(), step=0.1, n_steps=16, n_trajectories=8,
            seed=2, initial=scenario.oscillators().initial_moments("thermal"),
        )  # fmt: skip
        assert np.abs(bare.position - sb.open(tmp_path / "a.zarr")["position"]).max() > 1e-2  # the force is there
        table = sb.validate(sb.open(tmp_path / "a.zarr"))
        assert {row.where for row in table.rows if row.quantity == "mean square position"} == set(
            scenario.oscillators().names
        )


def test_the_layout_knows_that_it_takes_longer():
    slow = Layout.of(own_plan(springs, n_steps=100_000, n_trajectories=10_000, ledger=False, save_every=100))
    fast = Layout.of(
        replace(own_plan(springs, n_steps=100_000, n_trajectories=10_000, ledger=False, save_every=100), forces=())
    )
    assert slow.trajectories_per_block * slow.saves_per_block < fast.trajectories_per_block * fast.saves_per_block
