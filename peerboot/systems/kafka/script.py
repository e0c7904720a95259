"""``launch.sh``: POSIX sh, for dash, bash and busybox. ``launch.py`` writes its permit."""

from __future__ import annotations

SCRIPT = r"""#!/bin/sh
# Written by peerboot; changes are lost. The server's container runs it: sh /run/peerboot/launch.sh
#
# It waits for the permit, run.ok beside it, formats Kafka's directories if the permit says so, and becomes the server.
# It may be killed at any line and run again. What it keeps beside the permit:
#   begun.PLAN      this first permit passed every check, so what is formatted by halves is its own doing
#   formatted.PLAN  this first permit is used up: a server may have run, so it never formats again
# Exit codes: 1 refused, or the format failed; 127 a program is missing; 143 and 130 stopped while it waited.
set -euf
trap 'exit 143' TERM
trap 'exit 130' INT

newline=$(printf '\n.')
newline=${newline%.}
IFS=$newline # all that is split below are lines, and values may have blanks
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
nap_seconds=0.2 said_note='' said_status=''

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

find_tools() {
    for tool_name in grep head mv sed sleep; do
        if ! command -v "$tool_name" >/dev/null; then
            die "there is no $tool_name in this image, so nothing is started: use an image that has it" 127
        fi
    done
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
    file_text=$(head -c 65536 "$1" 2>/dev/null) || return 1
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
    if [ ! -f "$here/server.properties" ]; then
        note "$here/server.properties is not there beside the permit: waiting for peerboot to write it"
        return 1
    fi
}

parse_permit() {
    permit_kind='' permit_plan='' permit_cluster='' permit_node='' permit_directory='' permit_form=''
    permit_voters='' permit_release='' permit_metadata='' permit_logs='' permit_repair='' seen_keys=' '
    for file_line in $permit_text; do
        case $file_line in '#'*) continue ;; *=*) ;; *) return 1 ;; esac
        file_key=${file_line%%=*}
        file_value=${file_line#*=}
        case $seen_keys in *" $file_key "*) return 1 ;; esac
        case $file_key in
            kind) permit_kind=$file_value ;;
            plan) permit_plan=$file_value ;;
            cluster) permit_cluster=$file_value ;;
            node) permit_node=$file_value ;;
            directory) permit_directory=$file_value ;;
            form) permit_form=$file_value ;;
            voters) permit_voters=$file_value ;;
            release) permit_release=$file_value ;;
            metadata) permit_metadata=$file_value ;;
            log) permit_logs=$permit_logs$file_value$newline ;;
            repair) permit_repair=$file_value ;;
            *) return 1 ;;
        esac
        if [ "$file_key" != log ]; then seen_keys="$seen_keys$file_key "; fi
    done
}

is_permit() {
    case $permit_kind/$permit_form/$permit_repair in
        first/initial/false | first/join/false | first/plain/false) ;;
        resume//false | resume/join/false | resume/join/true | resume/plain/false | resume/plain/true) ;;
        *) return 1 ;;
    esac
    case $permit_form/$permit_voters in initial/) return 1 ;; initial/* | */) ;; *) return 1 ;; esac
    # It becomes part of a file's name.
    case $permit_plan in *[!0123456789abcdef]*) return 1 ;; ????????????????*) ;; *) return 1 ;; esac
    case $permit_node in '' | *[!0123456789]*) return 1 ;; esac
    for data_dir in "$permit_metadata" $permit_logs; do
        case $data_dir in /*) ;; *) return 1 ;; esac
    done
    [ -n "$permit_cluster" ] && [ "${#permit_plan}" -le 64 ]
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
    for data_dir in "$permit_metadata" $permit_logs; do
        wanted_directory=''
        if [ "$data_dir" = "$permit_metadata" ]; then wanted_directory=$permit_directory; fi
        if ! is_blank "$data_dir" && ! agrees "$data_dir" "$wanted_directory"; then
            die "$difference, so nothing is formatted beside it: mount the right volume, or move that directory aside"
        fi
    done
}

find_log() { # $1: blank or formatted. The first log directory that is so, into found_log.
    for found_log in $permit_logs; do
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
    if ! read_file "$here/run.ok" || [ "$file_text" != "$permit_text" ]; then
        note 'the permit was withdrawn or replaced just before the start: looking again'
        return 1
    fi
    exec "$start_tool" "$here/server.properties"
}

find_tools
while :; do
    if take_permit && "prepare_$permit_kind"; then start || :; fi
    tell_status
    nap
done
"""
