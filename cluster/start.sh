#!/usr/bin/env bash
# Starts a Ray cluster on this machine, everything on 127.0.0.1 and behind a token. cluster/stop.sh ends it.
# Usage: cluster/start.sh [--nodes N] [--cpus N] [-- OPTIONS_OF_RAY_START...]     (needs Linux and `ray` on the PATH)
#   --nodes   the head and N - 1 further nodes (2)
#   --cpus    CPUs that each node offers (all cores, shared out)
#   --        what follows goes to every `ray start`
# Environment: LITESNN_CLUSTER (folder, /tmp/litesnn-UID; keep it short, sockets lie in it), LITESNN_PORT (6379; the next
#   one is taken too), LITESNN_DASHBOARD_PORT (8265), LITESNN_METRICS_PORT (8080; one more for every further node)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${LITESNN_CLUSTER:-/tmp/litesnn-$(id -u)}
port=${LITESNN_PORT:-6379}
dashboard=${LITESNN_DASHBOARD_PORT:-8265}
metrics=${LITESNN_METRICS_PORT:-8080}
nodes=2
cpus=

refuse() {
    echo "cluster/start.sh: $1" >&2
    exit 2
}
whole() { [[ $2 =~ ^[1-9][0-9]*$ ]] || refuse "$1: expected a whole number from 1, got ${2:-nothing}"; }

while (($#)); do
    case $1 in
        --nodes) nodes=${2-} && whole "$1" "$nodes" && shift 2 ;;
        --cpus) cpus=${2-} && whole "$1" "$cpus" && shift 2 ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 0 ;;
        --) shift && break ;;
        *) refuse "expected --nodes, --cpus or --, got $1" ;;
    esac
done
for name in port dashboard metrics; do whole "$name" "${!name}"; done
# A socket's path has 107 characters at most, 71 of which are Ray's.
[[ $folder == /* && ${#folder} -le 36 ]] || refuse "LITESNN_CLUSTER: expected an absolute path of 36 characters at most, got $folder"
[[ ! -e $folder/mark ]] || refuse "expected no cluster in $folder, got one: cluster/stop.sh ends it"
# Ray itself takes most of a minute to give up.
for number in "$port" "$((port + 1))" "$dashboard" $(seq "$metrics" $((metrics + nodes - 1))); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$number") 2>/dev/null; then refuse "expected a free port, got $number, where somebody listens"; fi
done
command -v ray >/dev/null || refuse "expected the project's environment on the PATH, got no ray"
[[ -n $cpus ]] || cpus=$((($(nproc) + nodes - 1) / nodes))

# Others on this machine may read neither the logs nor the token, which Ray itself writes for all to read.
umask 077
mkdir -p "$folder"
[[ -O $folder ]] || refuse "LITESNN_CLUSTER: expected a folder of your own, got $folder"
chmod 700 "$folder"
export RAY_AUTH_MODE=token
if [[ -z ${RAY_AUTH_TOKEN-}${RAY_AUTH_TOKEN_PATH-} ]]; then
    ray get-auth-token --generate >/dev/null 2>&1 # does nothing where there is one
    chmod 600 ~/.ray/auth_token
fi

# Everything that comes of this cluster inherits the mark, so that cluster/stop.sh finds exactly that.
mark=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "$mark" >"$folder/mark"
: >"$folder/leaders"

start_node() { # NAME OPTIONS...
    local log=$folder/$1.log
    : >"$log" # that of an earlier cluster says that it has started
    # A session of its own: Ctrl-C or a closed terminal does not reach it. Seconds that a stopped job has for its report,
    # and that an ending node gives to what runs on it.
    LITESNN_CLUSTER_MARK=$mark RAY_JOB_STOP_WAIT_TIME_S=60 RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 setsid python "$here/loopback.py" --block \
        --disable-usage-stats --temp-dir="$folder/$1" --num-cpus="$cpus" --dashboard-agent-listen-port=0 \
        "${@:2}" <&- >"$log" 2>&1 &
    local leader=$!
    echo "$leader" >>"$folder/leaders"
    until grep -q "Ray runtime started" "$log"; do
        if ! kill -0 "$leader" 2>/dev/null; then
            tail -n 5 "$log" >&2
            "$here/stop.sh" >&2
            echo "cluster/start.sh: $1 did not start" >&2
            exit 1
        fi
        sleep 0.2
    done
}

start_node head --head --port="$port" --ray-client-server-port=$((port + 1)) --dashboard-host=127.0.0.1 \
    --dashboard-port="$dashboard" --metrics-export-port="$metrics" "$@"
for ((node = 2; node <= nodes; node++)); do
    # The machine's GPUs are the head's: two nodes that both offered them would use each twice.
    start_node "node$node" --address="127.0.0.1:$port" --num-gpus=0 --metrics-export-port=$((metrics + node - 1)) "$@"
done

cat >"$folder/environment" <<END
# For a shell that talks to this cluster: source it.
export RAY_AUTH_MODE=token RAY_API_SERVER_ADDRESS=http://127.0.0.1:$dashboard
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 # drivers of this cluster look for it on loopback
END
echo "$nodes nodes with $cpus CPUs each; Ray's dashboard at http://127.0.0.1:$dashboard, metrics from port $metrics"
echo "In a shell that submits jobs:  . $folder/environment"
