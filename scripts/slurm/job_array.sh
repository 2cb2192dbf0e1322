#!/bin/bash
# One run, shared by the jobs of an array. The jobs know nothing of each other: what is done is in the store.
#
#     sbatch --array=1-16 job_array.sh scenario.toml /scratch/me/run.zarr [options of stochbind run]
#
# A job that is preempted, or reaches the end of its time, keeps what is finished and queues again by itself.
# Submitting the same line again continues whatever is missing, so nothing can be lost by doing so.
#
#SBATCH --job-name=stochbind
#SBATCH --array=1-16
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
    echo "usage: sbatch --array=1-K $0 SCENARIO STORE [options of stochbind run]" >&2
    exit 2
fi
parts=${PARTS:-$SLURM_ARRAY_TASK_COUNT}
if [ "$SLURM_ARRAY_TASK_ID" -lt 1 ] || [ "$SLURM_ARRAY_TASK_ID" -gt "$parts" ]; then
    echo "The array must be --array=1-K; to submit only some of K parts again, set PARTS=K." >&2
    exit 2
fi
cores=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

await() { # the exit code of a process, as `code`; a signal ends `wait` before it ends the process
    wait "$1"
    code=$?
    while kill -0 "$1" 2>/dev/null; do wait "$1"; done
    wait "$1" 2>/dev/null
    local again=$?
    [ "$again" -ne 127 ] && code=$again
}

child= told=
trap 'told=yes; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null' TERM INT

code=75
for pause in 5 20 60 0; do # 75: another job is just making the store, or holds this part until it ends
    stochbind run "$1" --output "$2" --part "$SLURM_ARRAY_TASK_ID/$parts" \
        --parallel processes --workers "$cores" "${@:3}" &
    child=$!
    await "$child"
    [ "$code" -ne 75 ] && break
    sleep "$pause" &
    child=$!
    wait "$child"
    [ -n "$told" ] && code=143 && break
done

case $code in
143 | 130) # told to end: the rest is for later
    scontrol requeue "${SLURM_JOB_ID}" ;;
75) # workers were lost again and again; perhaps it is this machine
    [ "${SLURM_RESTART_COUNT:-0}" -lt 5 ] && scontrol requeue "${SLURM_JOB_ID}" ;;
esac
exit "$code"
