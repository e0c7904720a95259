"""The part of ``launch.sh`` that takes data that is there, and rewinds it; ``script.py`` has the rest."""

from __future__ import annotations

REWINDING = r"""# ------------------------------------------------------------------ resume

prepare_resume() {
    if [ -d "$permit_data" ]; then is_ours "$permit_data"; fi
    if ! is_there "$permit_data"; then
        note "$permit_data holds no data, and the permit is to start with it: waiting for another permit"
        return 1
    fi
    if ! agrees "$permit_data"; then
        note "$difference, so this is not the data that may start: waiting for another permit"
        return 1
    fi
    not_cut_off || return 1
    if [ "$permit_work" = rewind ] && [ ! -e "$here/used.$permit_plan" ]; then rewind; fi
}

not_cut_off() { # Whether the directory is what pg_rewind left at its end, or was never touched by it.
    if [ ! -e "$rewinding" ] && [ ! -L "$rewinding" ]; then return 0; fi
    if read_file "$rewinding" && [ -e "$here/used.$file_text" ]; then # it had ended, and only its mark was left
        unmark
        return 0
    fi
    case $file_text in '' | *[!0123456789abcdef]*) ;; *) rewind_is_over "$file_text" ;; esac
    note "pg_rewind was cut off on $permit_data, so no server may start on it, and it is not run again; \
peerboot has the directory cloned anew: waiting for another permit"
    return 1
}

rewind_is_over() { # For peerboot, which sees the mark also while the rewind goes on.
    mark "$here/cut-off.$1" || :
}

rewind() { # In place, so it is marked first: cut off, the directory is neither what it was nor what it is to be.
    if [ "$(stat -c %d "$permit_data/.")" != "$(stat -c %d "${permit_data%/*}/.")" ]; then
        die "$permit_data is the root of a volume, so the mark of a rewind would not lie on it, and nothing is \
rewound: move its files into a directory below and name that in PEERBOOT_DATA_DIR"
    fi
    find_name
    under_watch || return 1
    # What the primary does not even answer costs no data. It ends with an error where the server had crashed, too.
    work with_passwords pg_rewind --dry-run --progress -D "$permit_data" "--source-server=$permit_source" \
        >"$here/errors" 2>&1 || :
    read_file "$here/errors" || :
    case $file_text in
        *'connected to server'*) ;;
        *)
            cat "$here/errors" >&2
            why pg_rewind 'see whether the primary runs and is reached from here'
            die "pg_rewind did not reach the primary, for '$cause', so nothing was changed: $remedy; it is tried again"
            ;;
    esac
    aside=$permit_data.before-$permit_plan
    say "rewinding $permit_data to the primary; its log of now is kept in $aside"
    keep_words "rewinding $permit_data to the primary; its log of now is kept in $aside"
    # With the slash also where pg_wal is a link.
    if ! { rm -rf "$aside" && mkdir -p "$aside/pg_wal" && work cp -R "$permit_data/pg_wal/." "$aside/pg_wal/"; }; then
        rm -rf "$aside" || :
        die 'the log cannot be kept aside, so nothing is rewound: make room on the volume'
    fi
    durable "$aside"
    rewind_now
}

rewind_now() { # With what a signal does put off to its end: it leaves a good directory, and cut off a ruined one.
    put_off=''
    trap 'put_off=143' TERM
    trap 'put_off=130' INT
    if ! { printf '%s\n' "$permit_plan" >"$rewinding"; } 2>/dev/null; then
        rm -f "$rewinding" || :
        die "$rewinding cannot be written, so nothing is rewound: make room on the volume"
    fi
    durable "$rewinding"
    # Where the server was killed pg_rewind ends its recovery first, which Postgres refuses to a standby.
    rm -f "$permit_data/standby.signal" || die "$permit_data/standby.signal cannot be removed, so nothing is rewound: \
look at the volume"
    rewind_status=0
    (with_passwords pg_rewind -D "$permit_data" "--source-server=$permit_source") </dev/null 2>"$here/errors" ||
        rewind_status=$?
    cat "$here/errors" >&2
    if [ "$rewind_status" -ne 0 ]; then
        why pg_rewind ''
        rewind_is_over "$permit_plan"
        die "$permit_data was not rewound, for '$cause', so the server is not started, and peerboot has it cloned anew"
    fi
    put_in_order "$permit_data" # pg_rewind brings the primary's files, which has no standby.signal
    durable "$permit_data"
    use_up "$permit_plan"
    unmark
    durable "$permit_data"
    if [ -n "$put_off" ]; then exit "$put_off"; fi
    trap 'ended 143' TERM
    trap 'ended 130' INT
}

"""
