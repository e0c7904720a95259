"""``launch.sh``: POSIX sh, for dash, bash and busybox. ``launch.py`` writes its permit; ``making.py`` is its middle."""

from __future__ import annotations

from peerboot.systems.postgres.making import MAKING

_BEFORE = r"""#!/bin/sh
# Written by peerboot; changes are lost. The server's container runs it: sh /run/peerboot/launch.sh [options]
#
# It waits for the permit, run.ok beside it, makes the data directory or brings it in line if the permit says so, and
# becomes the server, always as a standby: whoever starts here is told by peerboot to take writes, or is not.
# It may be killed at any line and run again. What is made is made in DATA.peerboot-new and renamed when it is whole.
#   waiting         beside the permit: this script waits or works, so no server runs in this container
#   begun.PLAN      beside the permit: this first permit has begun, so data that is there now is what it made
#   used.PLAN       beside the permit: this first permit is used up, so it never makes a data directory again
#   stop            beside the permit, by peerboot: the server of this container is to end
#   DATA.rewinding  beside the data: pg_rewind has begun and has not ended, so no server may start on it; its PLAN
# Exit codes: 1 refused, or a tool failed; 127 a program is missing; 143 and 130 stopped while it waited.
set -euf
umask 077
trap 'exit 143' TERM
trap 'exit 130' INT
own_locale=${LC_ALL:-} own_language=${LANGUAGE:-}
export LC_ALL=C LANGUAGE=C # what the tools print is read here; initdb and the server get their own back

newline=$(printf '\n.')
newline=${newline%.}
IFS=$newline # all that is split below are lines, and values may have blanks
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
nap_seconds=0.2 said_note='' said_status=''
own_begin="# These lines are peerboot's, up to the line that ends them."
own_end='# End of the lines of peerboot.'

say() {
    printf 'peerboot: %s\n' "$1" || : # a log that is full keeps no server from starting
}

note() { # The same words once only.
    if [ "$1" != "$said_note" ]; then say "$1"; fi
    said_note=$1
}

die() {
    printf 'peerboot: %s\n' "$1" >&2 || :
    exit "${2:-1}"
}

mark() { # An empty file. Not by ":", a special builtin: a shell ends where one of those cannot be redirected.
    { printf '' >"$1"; } 2>/dev/null
}

work_shown() {
    mark "$here/waiting" || die "$here cannot be written, so nothing is started: mount it writable here too"
}

find_tools() {
    for tool_name in cat chmod cp dirname grep head mkdir mv rm rmdir sed sleep sync tr; do
        if ! command -v "$tool_name" >/dev/null; then
            die "there is no $tool_name in this image, so nothing is started: use an image that has it" 127
        fi
    done
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

nap() { # In the background, so that a signal ends the wait at once.
    sleep "$nap_seconds" >/dev/null 2>&1 &
    wait "$!" || nap_seconds=1 # this sleep takes no fractions
}

tell_status() {
    status_line=''
    { IFS='' read -r status_line <"$here/status.txt"; } 2>/dev/null || :
    if [ -z "$status_line" ]; then
        status_line='waiting for the permit run.ok, and peerboot has not said yet why it is not there'
    fi
    if [ "$status_line" != "$said_status" ]; then say "$status_line"; fi
    said_status=$status_line
}

read_file() { # Its first 64 KiB, by one open, into file_text.
    # Where a crash left zero bytes the shell would drop them, so that they could not be seen.
    file_text=$(head -c 65536 "$1" 2>/dev/null | tr '\000' '\001') || return 1
    [ -n "$file_text" ]
}

# ---------------------------------------------------------------- the permit

take_permit() {
    if ! read_file "$here/run.ok"; then said_note=''; return 1; fi
    permit_text=$file_text
    if ! parse_permit || ! is_permit; then
        note "$here/run.ok is no permit that this script knows: waiting for peerboot to write another"
        return 1
    fi
    if [ ! -f "$here/peerboot.conf" ]; then
        note "$here/peerboot.conf is not there beside the permit: waiting for peerboot to write it"
        return 1
    fi
    new=$permit_data.peerboot-new rewinding=$permit_data.rewinding
}

parse_permit() {
    permit_kind='' permit_plan='' permit_work='' permit_data='' permit_system='' permit_source='' permit_slot=''
    permit_end='' seen_keys=' '
    [ "${#permit_text}" -lt 65535 ] || return 1
    for file_line in $permit_text; do
        case $file_line in '#'*) continue ;; *[[:cntrl:]]*) return 1 ;; *=*) ;; *) return 1 ;; esac
        file_key=${file_line%%=*}
        file_value=${file_line#*=}
        case $seen_keys in *" $file_key "*) return 1 ;; esac
        case $file_key in
            kind) permit_kind=$file_value ;;
            plan) permit_plan=$file_value ;;
            work) permit_work=$file_value ;;
            data) permit_data=$file_value ;;
            system) permit_system=$file_value ;;
            source) permit_source=$file_value ;;
            slot) permit_slot=$file_value ;;
            end) permit_end=$file_value ;;
            *) return 1 ;;
        esac
        seen_keys="$seen_keys$file_key "
    done
}

is_permit() {
    # The last line: a text that was cut off has none.
    [ "$permit_end" = "$permit_plan" ] || return 1
    case $permit_kind/$permit_work in first/init | first/clone | resume/start | resume/rewind) ;; *) return 1 ;; esac
    # It becomes part of a file's name.
    case $permit_plan in *[!0123456789abcdef]*) return 1 ;; ????????????????*) ;; *) return 1 ;; esac
    case $permit_data in /*[!/]) ;; *) return 1 ;; esac
    case $permit_system in *[!0123456789]*) return 1 ;; esac
    case $permit_slot in *[!0123456789abcdefghijklmnopqrstuvwxyz_]*) return 1 ;; esac
    case $permit_work in
        init) [ -z "$permit_system$permit_source$permit_slot" ] || return 1 ;;
        start) [ -n "$permit_system" ] && [ -z "$permit_source$permit_slot" ] || return 1 ;;
        clone) [ -n "$permit_system" ] && [ -n "$permit_source" ] || return 1 ;;
        rewind) [ -n "$permit_system" ] && [ -n "$permit_source" ] && [ -z "$permit_slot" ] || return 1 ;;
    esac
    [ "${#permit_plan}" -le 64 ]
}

"""

_AFTER = r"""# ------------------------------------------------------------------- start

watch_for_stop() { # The sidecar cannot signal a process of this container. $1: the server's process.
    # A child of the server, which takes a child's end by a signal for a crash of its own.
    trap '' HUP INT TERM QUIT
    while kill -0 "$1" 2>/dev/null; do
        if [ -e "$here/stop" ]; then
            say 'peerboot says that this server is to end'
            kill -INT "$1" 2>/dev/null || :
            sleep 5
        fi
        sleep 1
    done
}

start() {
    put_in_order "$permit_data" # also where it was done before: a server that was promoted since has taken it away
    durable "$permit_data"
    rm -f "$here/stop" || die "$here/stop cannot be removed, so nothing is started: mount $here writable here too"
    # The last look, after all that takes time.
    if ! read_file "$here/run.ok" || [ "$file_text" != "$permit_text" ]; then
        note 'the permit was withdrawn or replaced just before the start: looking again'
        return 1
    fi
    # Also of a plan that made this directory and was killed before it could say so.
    set +f
    for begun_file in "$here"/begun.*; do
        if [ -e "$begun_file" ]; then use_up "${begun_file##*/begun.}"; fi
    done
    set -f
    use_up "$permit_plan"
    watch_for_stop "$$" </dev/null &
    # With it peerboot would take it that no server runs here, and work on the directory.
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
    if take_permit && "prepare_$permit_kind" "$@"; then start "$@" || :; fi
    tell_status
    nap
done
"""

SCRIPT = _BEFORE + MAKING + _AFTER
