"""``launch.sh``: what of it is Postgres' own, in several parts; ``launchscript.py`` has the rest."""

from __future__ import annotations

from peerboot import launchscript
from peerboot.systems.postgres.directory import DIRECTORY
from peerboot.systems.postgres.making import MAKING
from peerboot.systems.postgres.rewinding import REWINDING

KEYS = ("kind", "plan", "work", "data", "system", "source", "slot")
"""Of a permit's text."""

_HEAD = r"""#!/bin/sh
# Written by peerboot; changes are lost. The server's container runs it: sh /run/peerboot/launch.sh [options]
#
# It waits for the permit, run.ok beside it, makes the data directory or brings it in line if the permit says so, and
# becomes the server, always as a standby: whoever starts here is told by peerboot to take writes, or is not.
# It may be killed at any line and run again. What is made is made in DATA.peerboot-new and renamed when it is whole.
#   waiting         beside the permit: this script waits or works, so no server runs in this container
#   begun.PLAN      beside the permit: this first permit has begun, so data that is there now is what it made
#   used.PLAN       beside the permit: this first permit is used up, so it never makes a data directory again
#   stop            beside the permit, by peerboot, which has withdrawn it: what runs in this container is to end
#   launch.status   beside the permit: the last words of this script, in one line
#   cut-off.PLAN    beside the permit: the rewind of this plan was cut off, so the data is to be set aside
#   DATA.rewinding  beside the data: pg_rewind has begun and has not ended, so no server may start on it; its PLAN
# Exit codes: 1 refused, or a tool failed; 127 a program is missing; 143 and 130 stopped before a server ran.
"""

_LOCALE = r"""umask 077
own_locale=${LC_ALL:-} own_language=${LANGUAGE:-}
export LC_ALL=C LANGUAGE=C # what the tools print is read here; initdb and the server get their own back

"""

_TOOLS = r"""own_begin="# These lines are peerboot's, up to the line that ends them."
own_end='# End of the lines of peerboot.'

mark() { # An empty file. Not by ":", a special builtin: a shell ends where one of those cannot be redirected.
    { printf '' >"$1"; } 2>/dev/null
}

work() { # In the background, so that a signal ends it at once. Of its functions each ends in an exec.
    work_status=0
    "$@" & worker=$!
    wait "$worker" || work_status=$?
    worker=''
    return "$work_status"
}

ended() { # By a signal. $1: the exit code. What is cut off here is made anew by the next run.
    trap '' INT TERM
    if [ -n "$worker" ]; then
        kill "$worker" 2>/dev/null || :
        wait "$worker" 2>/dev/null || : # a shell may say how it ended
    fi
    end_first_server
    exit "$1"
}
worker='' new='' watcher='' wrapper=''
trap 'ended 143' TERM
trap 'ended 130' INT

work_shown() {
    mark "$here/waiting" || die "$here cannot be written, so nothing is started: mount it writable here too"
}

# ------------------------------------------------------------------- stop

watch_for_stop() { # The sidecar cannot signal a process of this container. $1: this script, and then the server.
    # A child of the server, which takes a child's end by a signal for a crash of its own.
    trap '' HUP INT TERM QUIT
    while kill -0 "$1" 2>/dev/null; do
        # Twice: the permit may have gone later, when nothing was to be stopped any more.
        if [ -e "$here/stop" ] && ! is_permit_there && [ -e "$here/stop" ]; then
            say 'peerboot has withdrawn the permit and says that what runs here is to end'
            kill -INT "$1" 2>/dev/null || :
            sleep 5
        fi
        sleep 1
    done
}

under_watch() { # From here on the file stop ends this script's tool, or the server.
    # One of before was for what ran then. Removed before the look: it comes after its permit has gone.
    rm -f "$here/stop" || die "$here/stop cannot be removed, so nothing is started: mount $here writable here too"
    is_permitted_still || return 1
    if [ -n "$watcher" ]; then return 0; fi
    watch_for_stop "$$" </dev/null &
    watcher=$!
}

unwatched() { # Of another permit another one knows. By this signal no shell says a word about it.
    if [ -n "$watcher" ]; then kill -PIPE "$watcher" 2>/dev/null || :; fi
    watcher=''
}

find_tools() {
    need cat chmod cp dirname grep head id mkdir mv rm rmdir sed sleep stat sync tr
    if [ -d /opt/bitnami/postgresql ]; then
        die "this is bitnami's image, whose own start deletes standby.signal, so that each of its servers would take \
writes, and nothing is started: use the image docker.io/postgres, or one made from it"
    fi
    user_id=$(id -u)
    if [ "$user_id" = 0 ]; then
        die "this container runs as root, which Postgres refuses, so nothing is started: set runAsUser and fsGroup in \
the Pod's securityContext (999, in the Alpine images 70)"
    fi
    find_postgres
    own_release=$(postgres -V | sed -n 's/^[^0-9]*\([0-9][0-9]*\).*/\1/p') || own_release=''
    if [ -z "$own_release" ]; then
        die "postgres -V names no release, so nothing is started: run this script in Postgres' own image" 127
    fi
}

find_postgres() {
    if command -v postgres >/dev/null && command -v initdb >/dev/null; then return 0; fi
    set +f
    for tool_dir in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
        if [ -x "$tool_dir/postgres" ] && [ -x "$tool_dir/initdb" ]; then
            set -f
            PATH=$tool_dir:$PATH
            export PATH
            return 0
        fi
    done
    die "there is no postgres in PATH, /usr/lib/postgresql/*/bin or /usr/local/pgsql/bin, so nothing is started: run \
this script in Postgres' own image, or set PATH" 127
}

"""

_OWN = r"""is_permit() {
    case $permit_kind/$permit_work in first/init | first/clone | resume/start | resume/rewind) ;; *) return 1 ;; esac
    case $permit_data in /*[!/]) ;; *) return 1 ;; esac
    case $permit_system in *[!0123456789]*) return 1 ;; esac
    case $permit_slot in *[!0123456789abcdefghijklmnopqrstuvwxyz_]*) return 1 ;; esac
    case $permit_work in
        init) [ -z "$permit_system$permit_source$permit_slot" ] || return 1 ;;
        start) [ -n "$permit_system" ] && [ -z "$permit_source$permit_slot" ] || return 1 ;;
        clone) [ -n "$permit_system" ] && [ -n "$permit_source" ] || return 1 ;;
        rewind) [ -n "$permit_system" ] && [ -n "$permit_source" ] && [ -z "$permit_slot" ] || return 1 ;;
    esac
}

"""

_START = r"""# ------------------------------------------------------------------- start

start() {
    if [ -z "$was_made" ]; then
        put_in_order "$permit_data" # also where it was done before: a promoted server has taken standby.signal away
        durable "$permit_data"
    fi
    under_watch || return 1
    # Also of a plan that made this directory and was killed before it could say so.
    set +f
    for begun_file in "$here"/begun.*; do
        if [ -e "$begun_file" ]; then use_up "${begun_file##*/begun.}"; fi
    done
    set -f
    use_up "$permit_plan"
    # With it peerboot would take it that no server runs here, and work on the directory.
    rm -f "$here/launch.status" || : # it was of before
    rm -f "$here/waiting" || die "$here/waiting cannot be removed, so nothing is started: mount $here writable here too"
    give_locale
    exec postgres -D "$permit_data" "$@"
}

work_shown
find_tools
own_settings="include = '$(printf '%s\n' "$here" | sed "s/['\\\\]/&&/g")/peerboot.conf'"
if [ "${1:-}" = postgres ]; then shift; fi # as the image's own entrypoint takes it
while :; do
    work_shown
    if take_permit; then
        new=$permit_data.peerboot-new rewinding=$permit_data.rewinding was_made=''
        if "prepare_$permit_kind" "$@"; then start "$@" || :; fi
        unwatched
    fi
    tell_status
    nap
done
"""

SCRIPT = "".join(
    (
        _HEAD, launchscript.STRICT, _LOCALE, launchscript.WORDS, _TOOLS,
        launchscript.taking(KEYS, "peerboot.conf"), launchscript.LAST_LOOK, _OWN, DIRECTORY, MAKING, REWINDING, _START,
    )
)  # fmt: skip
