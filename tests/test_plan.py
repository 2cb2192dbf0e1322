"""Plans: identity, validation, and what a worker is given."""

import dataclasses
import json

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind.errors import PlanError, UnstableError

GOOD = {"step": 0.5, "n_steps": 20, "n_trajectories": 8}


def plan(**change):
    return sb.Plan(**{"scenario": systems.pair_scenario(0.5, 0.2), **GOOD, **change})


def test_fingerprint_is_of_the_numbers_only():
    first = plan()
    assert first.fingerprint == plan().fingerprint
    renamed = first.scenario.model_copy(update={"name": "other", "source": "elsewhere", "description": "words"})
    assert plan(scenario=renamed).fingerprint == first.fingerprint
    changes = {
        "step": 0.25, "n_steps": 40, "n_trajectories": 9, "save_every": 2, "seed": 1, "initial": "rest",
        "scenario": systems.pair_scenario(0.5, 0.21),
    }  # fmt: skip
    prints = {plan(**{name: value}).fingerprint for name, value in changes.items()}
    assert len(prints | {first.fingerprint}) == len(changes) + 1


def test_a_new_field_with_a_default_leaves_old_fingerprints_alone():
    class Later(sb.OscillatorScenario):
        novelty: float = 0.0

    first = plan()
    later = Later(**{name: getattr(first.scenario, name) for name in first.scenario.model_fields_set})
    assert plan(scenario=later).fingerprint == first.fingerprint
    assert plan(scenario=later.model_copy(update={"novelty": 1.0})).fingerprint != first.fingerprint
    assert first.fingerprint == "373d6c07f00ffd4dc153c007af0ea4e4"  # of the plan above, for ever


def test_round_trip_through_json():
    first = plan(initial="stationary", save_every=5, seed=2**62)
    again = sb.Plan.from_dict(json.loads(json.dumps(first.to_dict())))
    assert again == first
    assert again.fingerprint == first.fingerprint
    with pytest.raises(PlanError, match="holds no plan"):
        sb.Plan.from_dict({})
    with pytest.raises(PlanError, match="was made with the noise 'dice'"):
        sb.Plan.from_dict({**first.to_dict(), "noise": "dice"})


def test_difference_names_what_differs():
    found = plan().difference(plan(seed=4, scenario=systems.pair_scenario(0.5, 0.3)))
    assert found == ["scenario.coupling[1][0]: 0.2 -> 0.3", "seed: 0 -> 4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "`step` must be positive"),
        ({"step": float("nan")}, "`step` must be finite"),
        ({"n_steps": 0}, "`n_steps` must be at least 1"),
        ({"n_steps": 2.0}, "`n_steps` must be a whole number"),
        ({"n_trajectories": True}, "`n_trajectories` must be a whole number"),
        ({"save_every": 3}, r"must divide `n_steps`, but 20 / 3 leaves 2; try n_steps = 18"),
        ({"save_every": 21}, "must be at most `n_steps` = 20"),
        ({"n_steps": 10**9}, "at most 100000000 states"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"solver": "magic"}, "`solver` must be one of exact"),
        ({"initial": "hot"}, "`initial` must be"),
        ({"scenario": "pair"}, "must be a Scenario, but is str"),
    ],
)
def test_bad_plans(change, message):
    with pytest.raises(PlanError, match=message):
        plan(**change)


def test_unstable_scenarios_run_as_transients_only():
    unstable = systems.pair_scenario(1.5, 1.5)
    assert plan(scenario=unstable).n_saves == 20
    with pytest.raises(UnstableError):
        plan(scenario=unstable, initial="stationary")
    with pytest.raises(PlanError, match="outgrows floating point"):
        plan(scenario=unstable, n_steps=10_000)


def test_from_scenario_takes_the_run_table(cold_to_hot):
    assert sb.Plan.from_scenario(cold_to_hot).n_steps == cold_to_hot.run.n_steps
    assert sb.Plan.from_scenario(cold_to_hot, n_steps=10, seed=None).n_steps == 10
    with pytest.raises(PlanError, match="`step` is neither in the"):
        sb.Plan.from_scenario(systems.pair_scenario(0.5, 0.2))
    with pytest.raises(PlanError, match="has no field `steps`"):
        sb.Plan.from_scenario(cold_to_hot, steps=3)


def test_times_are_whole_steps():
    time = plan(step=0.1, n_steps=300, save_every=3).time
    np.testing.assert_array_equal(time, np.arange(3, 301, 3) * 0.1)
    assert plan(n_steps=20, save_every=20).n_saves == 1


def test_plans_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan().seed = 3


def test_a_short_record_is_noted():
    assert "too short to reach the steady state" in plan(n_steps=4).relaxation_note()
    assert plan(n_steps=400).relaxation_note() is None
    assert plan(n_steps=4, initial="stationary").relaxation_note() is None
