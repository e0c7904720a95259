"""``launch.sh``: what of it is Kafka's own; ``launchscript.py`` has the rest. ``launch.py`` writes its permit."""

from __future__ import annotations

from peerboot import launchscript

KEYS = ("kind", "plan", "cluster", "node", "directory", "form", "voters", "release", "metadata", "repair")
LOG = "log"
"""Of a permit's text; each log directory has a line ``log=``."""

_HEAD = r"""#!/bin/sh
# Written by peerboot; changes are lost. The server's container runs it: sh /run/peerboot/launch.sh
#
# It waits for the permit, run.ok beside it, formats Kafka's directories if the permit says so, and becomes the server.
# It may be killed at any line and run again. What it keeps beside the permit:
#   begun.PLAN      this first permit passed every check, so what is formatted by halves is its own doing
#   formatted.PLAN  this first permit is used up: a server may have run, so it never formats again
# Exit codes: 1 refused, or the format failed; 127 a program is missing; 143 and 130 stopped while it waited.
"""

_TOOLS = r"""find_tools() {
    need grep head mv rm sed sleep tr
    for tool_dir in ${KAFKA_HOME:+"$KAFKA_HOME/bin"} /opt/kafka/bin; do
        storage_tool=$tool_dir/kafka-storage.sh
        start_tool=$tool_dir/kafka-server-start.sh
        if [ -x "$storage_tool" ] && [ -x "$start_tool" ]; then return 0; fi
    done
    for tool_end in .sh ''; do
        storage_tool=kafka-storage$tool_end
        start_tool=kafka-server-start$tool_end
        if command -v "$storage_tool" >/dev/null && command -v "$start_tool" >/dev/null; then return 0; fi
    done
    die "no kafka-storage and kafka-server-start in KAFKA_HOME/bin, /opt/kafka/bin or PATH, so nothing is started: \
run this script in Kafka's own image, or set KAFKA_HOME" 127
}

"""

_OWN = r"""is_permit() {
    case $permit_kind/$permit_form/$permit_repair in
        first/initial/false | first/join/false | first/plain/false) ;;
        resume//false | resume/join/false | resume/join/true | resume/plain/false | resume/plain/true) ;;
        *) return 1 ;;
    esac
    case $permit_form/$permit_voters in initial/) return 1 ;; initial/* | */) ;; *) return 1 ;; esac
    case $permit_node in '' | *[!0123456789]*) return 1 ;; esac
    for data_dir in "$permit_metadata" $permit_log; do
        case $data_dir in /*) ;; *) return 1 ;; esac
    done
    [ -n "$permit_cluster" ]
}

# ----------------------------------------------------------- the directories

is_blank() {
    [ ! -e "$1/meta.properties" ] && [ ! -L "$1/meta.properties" ]
}

agrees() { # Whether directory $1 is this cluster's and node's, and has directory.id $2 if that is not empty.
    difference="$1/meta.properties is not there"
    if is_blank "$1"; then return 1; fi
    difference="$1/meta.properties is empty or cannot be read"
    if ! read_file "$1/meta.properties"; then return 1; fi
    meta_cluster='' meta_node='' meta_directory=''
    for file_line in $file_text; do
        case $file_line in
            cluster.id=*) meta_cluster=${file_line#*=} ;;
            node.id=*) meta_node=${file_line#*=} ;;
            directory.id=*) meta_directory=${file_line#*=} ;;
        esac
    done
    # Java writes : = # ! and \ in a value with a \ before them.
    meta_cluster=$(printf '%s\n' "$meta_cluster" | sed 's/\\\(.\)/\1/g')
    if [ "$meta_cluster" != "$permit_cluster" ]; then
        difference="$1/meta.properties has cluster.id '$meta_cluster', but the permit '$permit_cluster'"
    elif [ "$meta_node" != "$permit_node" ]; then
        difference="$1/meta.properties has node.id '$meta_node', but the permit '$permit_node'"
    elif [ -n "$2" ] && [ "$meta_directory" != "$2" ]; then
        difference="$1/meta.properties has directory.id '$meta_directory', but the permit '$2'"
    else
        return 0
    fi
    return 1
}

check_formatted() { # What is formatted must be of the permit's cluster and node before anything is formatted beside it.
    for data_dir in "$permit_metadata" $permit_log; do
        wanted_directory=''
        if [ "$data_dir" = "$permit_metadata" ]; then wanted_directory=$permit_directory; fi
        if ! is_blank "$data_dir" && ! agrees "$data_dir" "$wanted_directory"; then
            die "$difference, so nothing is formatted beside it: mount the right volume, or move that directory aside"
        fi
    done
}

find_log() { # $1: blank or formatted. The first log directory that is so, into found_log.
    for found_log in $permit_log; do
        if is_blank "$found_log"; then found_kind=blank; else found_kind=formatted; fi
        if [ "$found_kind" = "$1" ]; then return 0; fi
    done
    return 1
}

format_dirs() {
    # An empty disk would believe itself a voter, and some releases of the tool form a quorum with both.
    if [ "$permit_form" != plain ]; then
        voters_status=0
        grep -q '^[[:space:]]*controller\.quorum\.voters' "$here/server.properties" || voters_status=$?
        if [ "$voters_status" -ne 1 ]; then
            die "$here/server.properties has controller.quorum.voters or cannot be read, so nothing is formatted: \
peerboot's clusters keep their voters in the log, drop that key from the settings"
        fi
    fi
    set -- format --ignore-formatted "--cluster-id=$permit_cluster"
    case $permit_form in
        initial) set -- "$@" "--initial-controllers=$permit_voters" ;;
        join) set -- "$@" --no-initial-controllers ;;
    esac
    if [ -n "$permit_release" ]; then set -- "$@" "--release-version=$permit_release"; fi
    if [ "$permit_kind" = first ] && [ "$permit_form" != join ] && read_file "$here/scram"; then
        for file_line in $file_text; do set -- "$@" "--add-scram=$file_line"; done
    elif [ "$permit_form" = initial ] && grep -q '^listener\.name\..*\.scram-sha-' "$here/server.properties"; then
        die "$here/scram is not there, so nothing is formatted: no user could log in"
    fi
    format_status=0
    "$storage_tool" "$@" -c "$here/server.properties" 2>&1 || format_status=$?
    if [ "$format_status" -ne 0 ]; then
        die "$storage_tool format ended with $format_status, so the server is not started: its own lines above say why"
    fi
    if ! agrees "$permit_metadata" "$permit_directory"; then
        die "$difference after the format, so the server is not started: ask peerboot with 'peerboot explain'"
    fi
}

# --------------------------------------------------------------- the two ways

use_up_plans() { # Once a server may run, no plan that has begun may format again.
    set +f
    for begun_file in "$here"/begun.*; do
        if [ -e "$begun_file" ] && ! mv -f "$begun_file" "$here/formatted.${begun_file##*/begun.}"; then
            die "$begun_file cannot be renamed, so the server is not started: mount $here writable here too"
        fi
    done
    set -f
}

prepare_first() {
    if [ -e "$here/formatted.$permit_plan" ]; then
        if agrees "$permit_metadata" "$permit_directory"; then return 0; fi
        note "plan $permit_plan was used already and never formats again, but $difference: waiting for another permit"
        return 1
    fi
    check_formatted
    if is_blank "$permit_metadata"; then
        if [ -e "$permit_metadata/__cluster_metadata-0/quorum-state" ]; then
            die "$permit_metadata has the metadata of a server that ran, but no meta.properties, so it is not \
formatted: bring that file back, or move the directory aside"
        fi
        # Killed by halves, the tool may leave just that; then it is this plan's own, and no server has run.
        if [ "$permit_form" = initial ] && [ ! -e "$here/begun.$permit_plan" ] && find_log formatted; then
            die "$permit_metadata is blank, but $found_log/meta.properties is there, so no new quorum is formed: \
bring the metadata back, or move the log directory aside"
        fi
    fi
    if ! { printf 'peerboot\n' >"$here/begun.$permit_plan"; } 2>/dev/null; then
        die "$here cannot be written, so nothing is formatted: mount it writable in this container too"
    fi
    format_dirs
}

prepare_resume() {
    if ! agrees "$permit_metadata" "$permit_directory"; then
        note "$difference, so this is not the data that may start: waiting for another permit"
        return 1
    fi
    if find_log blank; then
        if [ "$permit_repair" != true ]; then
            note "$found_log is blank and the permit does not say to format it: waiting for another permit"
            return 1
        fi
        say "formatting $found_log, which is blank beside the good $permit_metadata"
        check_formatted
        format_dirs
    fi
}

start() {
    use_up_plans # before the last look: a plan that is used up for nothing does no harm
    is_permitted_still || return 1
    rm -f "$here/launch.status" || : # it was of before
    exec "$start_tool" "$here/server.properties"
}

find_tools
while :; do
    if take_permit && "prepare_$permit_kind"; then start || :; fi
    tell_status
    nap
done
"""

SCRIPT = "".join(
    (
        _HEAD, launchscript.STRICT, "\n", launchscript.WORDS, _TOOLS,
        launchscript.taking(KEYS, "server.properties", many=LOG), launchscript.LAST_LOOK, _OWN,
    )
)  # fmt: skip
