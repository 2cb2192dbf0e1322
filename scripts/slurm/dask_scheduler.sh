#!/bin/bash
# One run on the tasks of one job, possibly on many machines, by a Dask cluster that lives as long as the job.
#
#     sbatch --ntasks=64 dask_scheduler.sh scenario.toml /scratch/me/run.zarr [options of stochbind run]
#
# The store must be on a disk that all machines see. At the end of its time, or if it is preempted, the job keeps what
# is finished and queues again by itself. Submitting the same line again continues.
#
#SBATCH --job-name=stochbind-dask
#SBATCH --ntasks=64
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
#
# Load or activate here what your site needs, such as: source ~/stochbind/.venv/bin/activate

set -u
if [ $# -lt 2 ]; then
    echo "usage: sbatch --ntasks=N $0 SCENARIO STORE [options of stochbind run]" >&2
    exit 2
fi
file="${SLURM_SUBMIT_DIR:-.}/scheduler-$SLURM_JOB_ID.json"
scratch=${TMPDIR:-/tmp}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
rm -f "$file"

await() { # the exit code of a process, as `code`; a signal ends `wait` before it ends the process
    wait "$1"
    code=$?
    while kill -0 "$1" 2>/dev/null; do wait "$1"; done
    wait "$1" 2>/dev/null
    local again=$?
    [ "$again" -ne 127 ] && code=$again
}

# The scheduler and the client need little: they share the first machine with the workers there.
dask scheduler --scheduler-file "$file" --port 0 --no-dashboard &
scheduler=$!
srun --kill-on-bad-exit=0 dask worker --scheduler-file "$file" --nthreads 1 --no-dashboard \
    --local-directory "$scratch" --death-timeout 120 &
workers=$!
for _ in $(seq 120); do # the client needs the file
    [ -s "$file" ] && break
    sleep 0.5
done
stochbind run "$1" --output "$2" --parallel "$file" "${@:3}" &
client=$!
trap 'kill -TERM "$client" 2>/dev/null' TERM INT
await "$client"
kill "$workers" "$scheduler" 2>/dev/null
wait "$workers" "$scheduler" 2>/dev/null
rm -f "$file"

case $code in
143 | 130) # told to end: the rest is for later
    scontrol requeue "${SLURM_JOB_ID}" ;;
75) # workers were lost again and again
    [ "${SLURM_RESTART_COUNT:-0}" -lt 5 ] && scontrol requeue "${SLURM_JOB_ID}" ;;
esac
exit "$code"
