#!/usr/bin/env bash
# Runs as jobs of a real SLURM, of one node, made for this and taken down after it: tests/slurm/run.sh, as root.
# Everything it writes is under a temporary folder; the daemons listen on 127.0.0.1. Takes about two minutes.
# Exit status: 0 all is well, 1 not, 77 skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}

skip() { echo "skipped: $1" >&2; exit 77; }

[ "$(id -u)" = 0 ] || skip "SLURM's daemons need root"
"$python" -c 'import submitit' 2>/dev/null || skip "submitit is not installed: pip install 'mftui[cluster]'"
missing() { for each in slurmctld slurmd munged srun scontrol; do command -v "$each" >/dev/null || return 0; done; return 1; }
if missing; then
    command -v apt-get >/dev/null || skip "slurmctld, slurmd and munged are not installed, and there is no apt-get"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; } >/dev/null 2>&1 ||
        skip "slurm-wlm and munge can't be installed: apt-get failed"
fi

work=$(mktemp -d /tmp/mftui-slurm-XXXXXX)
daemons=()
finish() {
    status=$?
    trap - EXIT INT TERM
    if [ "$status" != 0 ]; then tail -n 20 "$work"/*.log >&2 || true; fi
    scancel --user root 2>/dev/null || true # ours: SLURM_CONF names our own cluster
    for ((each = ${#daemons[@]} - 1; each >= 0; each--)); do
        kill "${daemons[each]}" 2>/dev/null || true
        wait "${daemons[each]}" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

chmod 755 "$work" # munged refuses sockets that others could not reach
mkdir "$work/state" "$work/spool" "$work/home"
head -c 1024 /dev/urandom >"$work/munge.key"
chmod 600 "$work/munge.key"
munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munged.pid" --seed-file="$work/munge.seed" --log-file="$work/munged.log" >"$work/munged.out.log" 2>&1 &
daemons+=($!)

# cred_expire: a requeued job waits for its old credential to expire, two minutes by default
cat >"$work/slurm.conf" <<CONF
ClusterName=mftui
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=${SLURMCTLD_PORT:-46817}
SlurmdPort=${SLURMD_PORT:-46818}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
MpiDefault=none
KillWait=5
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$work/slurm.conf" MFTUI_HOME="$work/home"
for ((tries = 0; ; tries++)); do
    [ -S "$work/munge.socket" ] && break
    [ $tries -lt 100 ] || skip "munged does not start here: $(tail -n 1 "$work/munged.out.log")"
    sleep 0.1
done
slurmctld -D >"$work/slurmctld.out.log" 2>&1 &
daemons+=($!)
slurmd -D -N "$(hostname)" >"$work/slurmd.out.log" 2>&1 &
daemons+=($!)
for ((tries = 0; ; tries++)); do
    [ "$(sinfo --noheader --format %T 2>/dev/null)" = idle ] && break
    [ $tries -lt 300 ] || skip "SLURM does not come up here: $(tail -n 1 "$work/slurmctld.log" "$work/slurmd.log")"
    sleep 0.1
done
echo "SLURM $(sinfo --version | cut -d ' ' -f 2) is up"
"$python" -m tests.slurm.check "$work/runs"
