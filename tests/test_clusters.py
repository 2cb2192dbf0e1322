"""Cluster files: what they mean, and what is wrong with them.

Batch systems are not here: a stand-in for the classes of dask-jobqueue, given as a parameter, notes what it is asked
for and starts local processes instead.
"""

import contextlib
import os
import sys

import pytest

from stochbind.engine import clusters
from stochbind.engine.clusters import cluster_workers
from stochbind.engine.driver import drive
from stochbind.engine.workers import dask_workers, local_dask_workers
from stochbind.errors import PlanError, StochbindError

QUEUE = 'kind = "slurm"\njobs = 2\ncores = 4\nmemory = "8GB"\nwalltime = "01:00:00"\n'


def write(path, text):
    file = path / "clusters.toml"
    file.write_text(text)
    return file


def environment(task):
    return os.environ["NUMBA_NUM_THREADS"]


def standin(noted):
    """A class that looks like those of dask-jobqueue; its jobs are threads of this process."""

    def cluster_class(name):
        from distributed import LocalCluster

        class Cluster(LocalCluster):
            class job_cls:
                submit_command = sys.executable

            def __init__(self, **options):
                noted.append((name, options))
                super().__init__(
                    n_workers=0,
                    processes=False,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    worker_dashboard_address=None,
                )

            def scale(self, n=None, *, jobs=None):
                noted.append(("scale", jobs))
                super().scale(jobs if n is None else n)

            def adapt(self, *, minimum_jobs, maximum_jobs):
                noted.append(("adapt", minimum_jobs, maximum_jobs))
                return super().adapt(minimum=minimum_jobs, maximum=maximum_jobs, interval="100ms")

        return Cluster

    return cluster_class


def test_a_cluster_of_this_machine(tmp_path):
    file = write(tmp_path, '[cluster.here]\nkind = "local"\nworkers = 1\n')
    found = []
    with cluster_workers(file) as workers:
        assert drive(environment, [(1, 2)], workers, progress=lambda task, receipt: found.append(receipt)) == ()
    assert found == ["1", "1"]


def test_a_scheduler_by_address_and_by_file(tmp_path):
    found = []
    with local_dask_workers(1) as owner:
        address = owner._client.scheduler.address
        (tmp_path / "scheduler.json").write_text(f'{{"address": "{address}"}}')
        file = write(
            tmp_path,
            f'[cluster.one]\nkind = "scheduler"\naddress = "{address}"\npatience_minutes = 2\n'
            '[cluster.two]\nkind = "scheduler"\nfile = "scheduler.json"\n',
        )
        for name, patience in (("one", 120.0), ("two", 300.0)):
            with cluster_workers(file, name) as workers:
                assert workers.first_worker_patience == patience
                assert drive(abs, [(-1,), (-2,)], workers, progress=lambda _, receipt: found.append(receipt)) == ()
    assert sorted(found) == [1, 1, 2, 2]


def test_a_batch_system_with_a_fixed_number_of_jobs(tmp_path):
    noted, found = [], []
    extra = 'queue = "regular"\njob_script_prologue = ["module load python"]\n'
    file = write(tmp_path, f"[cluster.site]\n{QUEUE}{extra}")
    with cluster_workers(file, cluster_class=standin(noted)) as workers:
        assert workers.first_worker_patience == clusters.QUEUE_PATIENCE
        assert drive(abs, [(-1, -2), (-3,)], workers, progress=lambda _, receipt: found.append(receipt)) == ()
    assert sorted(found) == [1, 2, 3]
    (name, options), (scaled, jobs) = noted[:2]
    assert (name, scaled, jobs) == ("SLURMCluster", "scale", 2)
    prologue = options.pop("job_script_prologue")
    assert prologue[-1] == "module load python"
    assert "export NUMBA_NUM_THREADS=1" in prologue
    lifetime, stagger = (float(options["worker_extra_args"][i].rstrip("s")) for i in (1, 3))
    assert options.pop("worker_extra_args")[::2] == ["--lifetime", "--lifetime-stagger"]
    assert lifetime - stagger > 2400
    assert lifetime + stagger <= 3600 - 300
    assert options.pop("scheduler_options")["dashboard"] is False
    assert options == {"cores": 4, "processes": 4, "memory": "8GB", "walltime": "01:00:00", "queue": "regular"}


def test_a_batch_system_that_starts_jobs_as_there_is_work(tmp_path):
    noted, found = [], []
    text = QUEUE.replace("jobs = 2", "adapt = {minimum = 0, maximum = 2}").replace("slurm", "pbs")
    with cluster_workers(write(tmp_path, f"[cluster.site]\n{text}"), cluster_class=standin(noted)) as workers:
        assert drive(abs, ((-i,) for i in range(20)), workers, progress=lambda _, receipt: found.append(receipt)) == ()
    assert sorted(found) == list(range(20))
    assert [entry[0] for entry in noted[:2]] == ["PBSCluster", "adapt"]
    assert noted[1] == ("adapt", 0, 2)


def test_the_users_own_options_win():
    given = {"walltime": "1-00:00:00", "worker_extra_args": ["--lifetime", "5h"], "processes": 2, "cores": 8}
    arguments = clusters.job_arguments("x", "slurm", given)
    assert {key: arguments[key] for key in given} == given


@pytest.mark.parametrize(
    ("kind", "walltime", "seconds"),
    [
        ("slurm", "01:30:00", 5400),
        ("slurm", "2-01:00:00", 176400),
        ("pbs", "100:00:00", 360000),
        ("lsf", "01:30", 5400),
    ],
)
def test_walltimes(kind, walltime, seconds):
    options = clusters.job_arguments("x", kind, {"walltime": walltime})["worker_extra_args"]
    lifetime, stagger = (float(options[i].rstrip("s")) for i in (1, 3))
    assert lifetime + stagger == seconds - 300


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"holds no clusters"),
        ("cluster = 3", r"holds no clusters"),
        ("[cluster.a", r"is no TOML"),
        ("[clusters.a]\nkind = 'local'", r"holds no clusters"),
        ("[cluster.a]\nkind = 'local'\n[other]\n", r"`other` is not known"),
        ("[cluster.a]\nworkers = 2", r"`kind` must be one of .* is missing"),
        ("[cluster.a]\nkind = 'slrum'", r"did you mean 'slurm'"),
        ("[cluster.a]\nkind = 3", r"`kind` must be one of .* is 3"),
        ("[cluster.a]\nkind = 'local'", r"`workers` .* is missing"),
        ("[cluster.a]\nkind = 'local'\nworkers = 0", r"`workers` .* is 0"),
        ("[cluster.a]\nkind = 'local'\nworkers = true", r"`workers` .* is True"),
        ("[cluster.a]\nkind = 'local'\nworkers = '2'", r"`workers` .* is '2'"),
        ("[cluster.a]\nkind = 'local'\nworker = 2", r"`worker` is not .*did you mean 'workers'"),
        ("[cluster.a]\nkind = 'scheduler'", r"either `address` or `file`"),
        ("[cluster.a]\nkind = 'scheduler'\naddress = 'tcp://a:1'\nfile = 'b'", r"either `address` or `file`"),
        ("[cluster.a]\nkind = 'scheduler'\naddress = 8786", r"`address` must be a string"),
        ("[cluster.a]\nkind = 'scheduler'\naddress = 'localhost'", r"tcp://host:port"),
        ("[cluster.a]\nkind = 'scheduler'\naddress = 'foo://a:1'", r"tcp://host:port.*foo://a:1"),
        ("[cluster.a]\nkind = 'scheduler'\nadress = 'tcp://a:1'", r"did you mean 'address'"),
        ("[cluster.a]\nkind = 'scheduler'\naddress = 'tcp://a:1'\npatience_minutes = 0", r"`patience_minutes`"),
        (f"[cluster.a]\n{QUEUE}adapt = {{minimum = 0, maximum = 1}}", r"either `jobs` or `adapt"),
        (f"[cluster.a]\n{QUEUE.replace('jobs = 2', '')}", r"either `jobs` or `adapt"),
        (f"[cluster.a]\n{QUEUE.replace('jobs = 2', 'adapt = 3')}", r"`adapt` must be .* is 3"),
        (f"[cluster.a]\n{QUEUE.replace('jobs = 2', 'adapt = {minimum = 3, maximum = 2}')}", r"maximum` .* at least 3"),
        (f"[cluster.a]\n{QUEUE.replace('jobs = 2', 'jobs = 2.5')}", r"`jobs` .* is 2.5"),
        (f"[cluster.a]\n{QUEUE.replace('cores = 4', 'cores = 0')}", r"`cores`"),
        (f"[cluster.a]\n{QUEUE.replace('01:00:00', 'an hour')}", r"`walltime` must look like .* is 'an hour'"),
        (f"[cluster.a]\n{QUEUE.replace('01:00:00', '00:00:10')}", r"at least a minute"),
        (f"[cluster.a]\n{QUEUE}job_script_prologue = 'ls'", r"`job_script_prologue` must be a list"),
        ("[cluster.a]\nkind = 'local'\nworkers = 1\n[cluster.b]\n", r"holds 2 clusters; choose one by its name: a, b"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(PlanError, match=sentence) as caught:
        cluster_workers(write(tmp_path, text), cluster_class=standin([]))
    assert "\n" not in str(caught.value).strip()
    assert "clusters.toml" in str(caught.value)


def test_names_and_files_that_are_not_there(tmp_path):
    file = write(tmp_path, "[cluster.home]\nkind = 'local'\nworkers = 1\n")
    with pytest.raises(PlanError, match="did you mean 'home'"):
        cluster_workers(file, "hime")
    with pytest.raises(PlanError, match="cannot be read"):
        cluster_workers(tmp_path / "missing.toml")
    with pytest.raises(PlanError, match="cannot be read"):
        cluster_workers(tmp_path)
    file.write_text("#" * (2**20 + 1))
    with pytest.raises(PlanError, match="larger than 1 MB"):
        cluster_workers(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match="no TOML"):
        cluster_workers(file)
    file.write_text("a = " + "[" * 100000)
    with pytest.raises(PlanError, match="no TOML"):
        cluster_workers(file)


def test_a_package_or_a_command_that_is_missing_is_named(tmp_path, monkeypatch):
    file = write(tmp_path, f"[cluster.site]\n{QUEUE}")
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(PlanError, match=r'pip install "stochbind\[cluster\]"'):
        cluster_workers(file)

    class Cluster:
        class job_cls:
            submit_command = "no-such-command --now"

    with pytest.raises(PlanError, match="no `no-such-command` on this machine"):
        cluster_workers(file, cluster_class=lambda name: Cluster)


def test_options_that_jobqueue_refuses_are_told(tmp_path):
    def cluster_class(name):
        def make(**options):
            raise TypeError("unexpected keyword argument 'que'")

        return make

    file = write(tmp_path, f"[cluster.site]\n{QUEUE}que = 'regular'\n")
    with (
        pytest.raises(PlanError, match=r"\[cluster.site\]: dask-jobqueue refuses .* 'que'"),
        cluster_workers(file, cluster_class=cluster_class),
    ):
        pass


def test_reading_a_file_starts_nothing(tmp_path):
    noted = []
    cluster_workers(write(tmp_path, f"[cluster.site]\n{QUEUE}"), cluster_class=standin(noted))
    assert noted == []
    with contextlib.suppress(StochbindError):
        dask_workers("tcp://127.0.0.1:1")  # nor does this, until it is entered
