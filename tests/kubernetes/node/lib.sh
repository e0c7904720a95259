# Shared by the scripts beside it; sourced, not run.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ROOT="$(cd "$HERE/../../.." && pwd)"
k8s=$(awk '$1=="require" && $2=="k8s.io/kubernetes"{print $3}' "$HERE/src/node/go.mod")
dns=$(awk '$1=="require" && $2=="github.com/coredns/coredns"{print $3}' "$HERE/src/dns/go.mod")
CACHE="${PEERBOOT_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/peerboot}"
BIN="$CACHE/node-${k8s#v}-coredns-${dns#v}"            # compiled once for a machine
WORK="${PEERBOOT_TEST_NODE_DIR:-$ROOT/build/node}"     # everything else that is made; not on an overlay or tmpfs
IMAGES="$WORK/images"                                  # archives that `up` imports
STATE="$WORK/state"                                    # one life of the node, wiped by `up` and `down`
LOGS="$WORK/logs"
KCFG="$STATE/admin.kubeconfig"

NODE_NAME=node1
NODE_IP=10.244.255.1                                   # these exist only in the
POD_CIDR=10.244.0.0/24                                 # node's own network namespace
SERVICE_CIDR=10.96.0.0/16
CGROUPS=peerboot-                                      # several nodes of one machine differ in this and in WORK only
CGROUP="/$CGROUPS$(basename "$WORK")"                  # parent of every cgroup of the node
SYSCTL=/run/peerboot-node.sysctl                       # the machine's own, before its first node changed them

T0=$(date +%s%N)
say() {
  local ms=$(( ($(date +%s%N) - T0) / 1000000 ))
  printf '%3d.%03ds %s\n' $((ms / 1000)) $((ms % 1000)) "$*" >&2
}
die() { echo "error: $*" >&2; exit 1; }
need_root() {
  [ "$(id -u)" = 0 ] || die "the test node makes namespaces and mounts: run it as root, or set KUBECONFIG to a cluster"
}

# pid of the node's init (pid 1 of its pid namespace), if it lives
node_pid() {
  local p
  p=$(cat "$STATE/init.pid" 2>/dev/null) && [ -n "$p" ] &&
    grep -qa "$HERE/init" "/proc/$p/cmdline" 2>/dev/null && echo "$p"
}

# its cgroups; a group that just ended stays busy for a moment
remove_cgroups() {
  local c
  for c in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -d "$c$CGROUP" ] || continue
    for _ in $(seq 50); do
      find "$c$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [ -d "$c$CGROUP" ] || break
      sleep 0.1
    done
    [ ! -d "$c$CGROUP" ] || echo "left behind: $c$CGROUP" >&2
  done
}

stop_init() { # kill pid 1; the kernel ends all the node's processes with it
  local p
  p=$(node_pid) || return 0
  kill -KILL "$p"
  for _ in $(seq 100); do [ -d "/proc/$p" ] || break; sleep 0.1; done
  [ ! -d "/proc/$p" ] || die "pid $p does not end"
  remove_cgroups
}

fill() { # template, result
  sed -e "s|@CONF@|$STATE/conf|g; s|@CGROUP@|$CGROUP|g; s|@NODE_IP@|$NODE_IP|g" \
    -e "s|@NODE_NAME@|$NODE_NAME|g; s|@POD_CIDR@|$POD_CIDR|g" "$1" > "$2"
}
