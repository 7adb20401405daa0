"""The part of a job's script that is the same for all: start or go on, save when told, wait, hand on the exit code.

It is bash, because that is what schedulers start. Before it stand `name`, `run_root` and the function `finetui`.
Nothing here is filled in. Not here: directives and settings of an engine (`slurm`, `skypilot`).
"""

WATCHING = r"""
# The run of this job: the newest folder of its name that is complete. Empty before there is one.
run_folder() {
  [ -n "${FINETUI_RUN:-}" ] && { echo "$FINETUI_RUN"; return; }
  local each found=
  for each in "$run_root/$stem"-*; do
    if [ -e "$each/manifest.json" ] && [[ "${each##*-}" =~ ^[0-9]+$ ]]; then found=$each; fi
  done
  echo "$found"
}

# Save and end the run. Asked once only: a second request would end it without saving.
stop_run() {
  interrupted=1
  [ -n "$why" ] && return
  why=$1
  echo "job: $2; the run saves and ends"
  until finetui stop --no-wait "$(run_folder)"; do
    kill -0 "$watcher" 2>/dev/null || return
    sleep 1
  done
}

# Start a command that watches the run, and wait for its end: $code.
watch() {
  local again
  "$@" &
  watcher=$!
  code=127
  while :; do
    interrupted=
    wait "$watcher"; again=$?
    [ "$again" = 127 ] || code=$again
    [ -n "$interrupted" ] || return
  done
}

# Changes whenever the run has come further.
progress() { (cd "$1" 2>/dev/null && ls -R checkpoints dataset adapter answers exports 2>/dev/null | cksum); }

carry_out() {
  run=$(run_folder)
  before=$(progress "$run")
  if [ -z "$run" ]; then
    watch finetui replay "$job_folder/recipe.toml" --plain \
      --set "run.root=\"$run_root\"" --set "run.name=\"$stem\"" "$@"
  elif finetui status "$run" --json | grep -q '"phase": "finished"'; then
    echo "job: the run $run is finished"
    code=0
  else
    # The scheduler starts a job once at a time, so whoever was in charge of the run before is gone.
    watch finetui resume "$run" --plain --take-over
  fi
  # A signal to all processes of the job ends the watcher, not the run: watch it again until it has saved.
  while [ "$code" -gt 128 ]; do
    run=$(run_folder)
    [ -n "$run" ] || break
    watch finetui attach "$run" --plain
  done
  run=$(run_folder)
}
"""

SLURM_BODY = (
    r"""
set -u
# Slurm runs a copy of this file elsewhere; the recipe lies beside the original.
job_folder=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's/^ *Command=\(.*\)$/\1/p' | head -n 1)
job_folder=$(dirname "$job_folder")
[ -e "$job_folder/recipe.toml" ] || job_folder=$SLURM_SUBMIT_DIR
# A requeued job keeps its number, and so its run; a job that is submitted again makes a run of its own.
# To go on with a run in a new job: sbatch --export=ALL,FINETUI_RUN=/folder/of/the/run job.sbatch
stem=$name-$SLURM_JOB_ID
why= watcher= interrupted=
trap 'stop_run limit "Slurm ends this stretch soon"' USR1
trap 'stop_run cancel "Slurm ends the job"' TERM INT
"""
    + WATCHING
    + r"""
# Several hosts: the first is this one and owns the run; the others take part in each of its attempts.
several_hosts() {
  local first address endpoint others joiners
  first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  address=$(getent ahostsv4 "$first" | awk 'NR == 1 { print $1 }')
  case $address in "" | 127.*) address=$(hostname -I | cut -d' ' -f1) ;; esac
  endpoint=$address:$((20000 + SLURM_JOB_ID % 12000))
  export FINETUI_RDZV_ENDPOINT=$endpoint  # of a run that goes on: its recipe names the host of the stretch before
  others=$((SLURM_JOB_NUM_NODES - 1))
  export -f finetui
  (
    until run=$(run_folder) && [ -n "$run" ]; do sleep 1; done
    exec srun --nodes="$others" --ntasks="$others" --exclude="$first" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
      bash -c 'finetui join "$0" --node-rank "$((SLURM_PROCID + 1))"' "$run"
  ) &
  joiners=$!
  carry_out --set distributed.rdzv_backend=c10d --set "distributed.rdzv_endpoint=\"$endpoint\""
  # The others end with the run; should one not notice within half a minute, it is ended.
  for _ in {1..30}; do kill -0 "$joiners" 2>/dev/null || return; sleep 1; done
  kill "$joiners" 2>/dev/null
}

if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then several_hosts; else carry_out; fi

if [ "$code" = 7 ] && [ "$why" = limit ]; then
  if [ "$(progress "$run")" = "$before" ]; then
    echo "job: nothing was added to the run in this stretch, so it is not queued again; give it more --time"
  elif scontrol requeue "$SLURM_JOB_ID"; then
    echo "job: queued again; it goes on with $run"
    exit 0
  else
    echo "job: this cluster does not queue it again; go on with:"
    echo "  sbatch --export=ALL,FINETUI_RUN=$run $job_folder/job.sbatch"
  fi
fi
exit "$code"
"""
)

SKYPILOT_BODY = (
    r"""
set -u
job_folder=$PWD
# The same for a managed job after each recovery, another for each launch.
stem=$name-$(printf %s "${SKYPILOT_TASK_ID:-here}" | cksum | cut -d' ' -f1)
why= watcher= interrupted=
trap 'stop_run cancel "SkyPilot ends the job"' TERM INT
mkdir -p "$run_root"
"""
    + WATCHING
    + r"""
# Several hosts: the first owns the run, the others take part in each of its attempts.
several_hosts() {
  local endpoint
  endpoint=$(echo "$SKYPILOT_NODE_IPS" | head -n 1):29401
  export FINETUI_RDZV_ENDPOINT=$endpoint
  if [ "$SKYPILOT_NODE_RANK" -gt 0 ]; then
    until run=$(run_folder) && [ -n "$run" ]; do sleep 2; done
    finetui join "$run" --node-rank "$SKYPILOT_NODE_RANK"
    code=$?
  else
    carry_out --set distributed.rdzv_backend=c10d --set "distributed.rdzv_endpoint=\"$endpoint\""
  fi
}

if [ "${SKYPILOT_NUM_NODES:-1}" -gt 1 ]; then several_hosts; else carry_out; fi
exit "$code"
"""
)
