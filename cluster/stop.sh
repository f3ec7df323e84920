#!/usr/bin/env bash
# Ends the cluster of cluster/start.sh with all that runs on it, and nothing else. May be repeated.
# Usage: cluster/stop.sh        (LITESNN_CLUSTER as for cluster/start.sh)
# Running jobs end with it; `ray job stop ID` before lets one write its report. Logs stay in the folder until the next start.
set -euo pipefail
folder=${LITESNN_CLUSTER:-/tmp/litesnn-$(id -u)}
if [[ ! -O $folder/mark ]]; then
    echo "No cluster in $folder"
    exit 0
fi
mark=$(<"$folder/mark")
mapfile -t leaders <"$folder/leaders"

# ours PID: whether a process is of this cluster. It is if it carries the mark in its environment. Some of Ray's write
# their title over their environment: those are known by their session, which bears the number of a node's first process.
ours() {
    local stat state session
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    read -r state _ _ session _ <<<"${stat##*) }"
    [[ $state != Z ]] || return 1 # over, but its parent has not taken note
    if grep -qsz . "/proc/$1/environ"; then
        grep -qsz "^LITESNN_CLUSTER_MARK=$mark$" "/proc/$1/environ"
    else
        [[ " ${leaders[*]} " == *" $session "* ]]
    fi
}
# every: the number of each process of this cluster
every() {
    local file
    for file in /proc/[0-9]*; do
        if ours "${file#/proc/}"; then echo "${file#/proc/}"; fi
    done
}
# signal NAME PID...: sends it to those of them that are still there
signal() {
    local name=$1 pid
    shift
    for pid; do
        if ours "$pid"; then kill "-$name" "$pid" 2>/dev/null || true; fi
    done
}
# wait_for_end SECONDS: until none is left
wait_for_end() {
    local end=$((SECONDS + $1))
    until [[ -z $(every) ]]; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

# Each node's first process takes its servers and workers down; further nodes go before the head that they report to.
for ((i = ${#leaders[@]} - 1; i >= 0; i--)); do signal TERM "${leaders[i]}"; done
if ! wait_for_end 10; then
    mapfile -t left < <(every)
    signal TERM "${left[@]}"
    if ! wait_for_end 5; then
        mapfile -t left < <(every)
        signal KILL "${left[@]}"
        wait_for_end 5 || { echo "cluster/stop.sh: still running: $(every | tr '\n' ' ')" >&2 && exit 1; }
    fi
fi
rm -f "$folder/mark" "$folder/leaders" "$folder/environment"
echo "The cluster in $folder has ended"
