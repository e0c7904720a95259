"""The part of ``launch.sh`` that makes, clones and rewinds a data directory; ``script.py`` has the rest."""

from __future__ import annotations

MAKING = r"""# --------------------------------------------------------------- the directory

is_there() {
    [ -e "$1/PG_VERSION" ] || [ -L "$1/PG_VERSION" ]
}

agrees() { # Whether directory $1 is of the permit's system identifier.
    difference="pg_controldata cannot read $1"
    if ! control_text=$(pg_controldata -D "$1" 2>/dev/null); then return 1; fi
    found_system=$(printf '%s\n' "$control_text" | sed -n 's/^Database system identifier: *//p')
    difference="$1 has system identifier ${found_system:-none}, but the permit $permit_system"
    [ "$found_system" = "$permit_system" ]
}

put_in_order() { # What peerboot must own in directory $1, whatever made it: a copy brings its source's files along.
    # Looked at first: beside a standby.signal it would not count any more, also for whoever goes on by hand.
    if [ -e "$1/recovery.signal" ]; then
        die "$1/recovery.signal is there: a restore to a point in time was begun by hand, and ends in a server that \
takes writes. Let it end by hand, without peerboot, or remove that file"
    fi
    # A server without it takes writes at once, on the timeline that others may be on: never.
    mark "$1/standby.signal" || die "$1/standby.signal cannot be written, so nothing starts"
    for file_name in postgresql.conf pg_hba.conf; do
        if [ ! -f "$1/$file_name" ]; then die "$1/$file_name is not there, so nothing starts: bring it back"; fi
    done
    # ALTER SYSTEM writes there, and is read last: an old source would be followed for ever, and a target of a restore
    # that has ended long ago, which tools leave there, can make a standby promote itself.
    file_name=$1/postgresql.auto.conf
    if grep -q "$not_theirs" "$file_name" 2>/dev/null; then
        sed "/$not_theirs/d" "$file_name" >"$file_name.new" || not_written
        replace
    fi
    file_name=$1/postgresql.conf
    if grep -q '^[[:space:]]*promote_trigger_file' "$file_name"; then
        die "$file_name has promote_trigger_file, by which this server could take writes although another one does, so \
nothing starts: remove that line"
    fi
    # The last line that names a setting counts, so peerboot's come last. The line of another one's peerboot, whose
    # files a copy brings along, names a file that is not here.
    last_line=$(sed -n '$p' "$file_name") || die "$file_name cannot be read, so nothing starts"
    if [ "$last_line" != "$own_settings" ]; then
        {
            sed "/^# The next line is peerboot's/{N;d;}" "$file_name" &&
                printf '\n%s\n%s\n' "# The next line is peerboot's." "$own_settings"
        } >"$file_name.new" || not_written
        replace
    fi
    # The first line that matches counts, so peerboot's come first. Made anew each time: they may have changed.
    if ! read_file "$here/pg_hba.peerboot"; then die "$here/pg_hba.peerboot is not there, so nothing starts"; fi
    file_name=$1/pg_hba.conf
    {
        printf '%s\n' "$own_begin" "$file_text" "$own_end" &&
            sed "/^# These lines are peerboot's/,/^# End of the lines of peerboot/d" "$file_name"
    } >"$file_name.new" || not_written
    replace
    # fsGroup makes it 2770, with which no server starts.
    chmod 0700 "$1" || die "$1 cannot be made private, so nothing starts: give the server's user that directory"
}

# In postgresql.auto.conf.
not_theirs='^[[:space:]]*\(primary_conninfo\|primary_slot_name\|recovery_target\|promote_trigger_file\)'

not_written() {
    die "$file_name.new cannot be written, so nothing starts: make room on the volume"
}

replace() {
    mv -f "$file_name.new" "$file_name" || die "$file_name cannot be replaced, so nothing starts"
}

durable() { # All that was written to the volume of file or directory $1, before a server may start on it.
    sync -f "$1" 2>/dev/null || sync || die 'sync failed, so nothing is started: look at the volume'
}

give_locale() {
    if [ -n "$own_locale" ]; then LC_ALL=$own_locale; else unset LC_ALL; fi
    if [ -n "$own_language" ]; then LANGUAGE=$own_language; else unset LANGUAGE; fi
}

whole() { # The new directory gets its name.
    durable "$new"
    # It was about a directory that is gone.
    rm -f "$rewinding" || die "$rewinding cannot be removed, so nothing is started"
    if [ -e "$permit_data" ] || [ -L "$permit_data" ]; then # mv would put the new one into it
        die "$permit_data has come meanwhile, so $new does not get that name: run this again"
    fi
    if ! mv "$new" "$permit_data"; then die "$new cannot be renamed to $permit_data, so nothing is started"; fi
    durable "$permit_data"
    use_up "$permit_plan"
}

use_up() {
    mark "$here/used.$1" || die "$here cannot be written, so nothing is started: mount it writable here too"
}

# ------------------------------------------------------------------ first

prepare_first() {
    if is_there "$permit_data"; then
        # This very plan made it, and was killed before the server started; else it is not what the permit is about.
        if [ -e "$here/begun.$permit_plan" ] && { [ -z "$permit_system" ] || agrees "$permit_data"; }; then
            not_cut_off || return 1
            return 0
        fi
        note "$permit_data holds data already, and the permit is to make it: waiting for another permit"
        return 1
    fi
    if [ -e "$here/used.$permit_plan" ]; then
        note "plan $permit_plan was used already and makes nothing again, but $permit_data is gone: waiting for \
another permit"
        return 1
    fi
    if ! empty_name; then return 1; fi
    mark "$here/begun.$permit_plan" || die "$here cannot be written, so nothing is made: mount it writable here too"
    # By its name what an earlier run of this script left unfinished; no server ever ran there.
    rm -rf "$new" || die "$new cannot be removed, so nothing is made: look at the volume"
    "make_by_$permit_work" "$@"
    put_in_order "$new"
    whole
}

empty_name() { # An empty directory is in the way of the name; one with lost+found is a mount's root.
    if [ ! -e "$permit_data" ] && [ ! -L "$permit_data" ]; then return 0; fi
    if rmdir "$permit_data" 2>/dev/null; then return 0; fi
    note "$permit_data is no empty directory, so nothing is made there: name a directory below the volume's mount"
    return 1
}

make_by_init() {
    if [ ! -f "$here/roles.sql" ]; then die "$here/roles.sql is not there, so nothing is made"; fi
    official=''
    if command -v bash >/dev/null && command -v docker-entrypoint.sh >/dev/null; then
        official=$(command -v docker-entrypoint.sh)
        if ! grep -q 'docker_process_init_files' "$official"; then official=''; fi
    fi
    if [ -n "$official" ]; then
        say "making a new cluster with the image's own docker-entrypoint.sh"
        if ! (give_locale && init_by_image "$@"); then
            # It goes on without whoever started it.
            if [ -e "$new/postmaster.pid" ]; then pg_ctl -D "$new" -m immediate -w stop >/dev/null 2>&1 || :; fi
            die "the image's first start failed, so nothing is started: its own lines above say why"
        fi
    else
        say 'making a new cluster with initdb'
        init_plainly || die 'initdb or the first start failed, so nothing is started: the lines above say why'
    fi
    if [ -e "$new/postmaster.pid" ]; then die "the first server did not end, so nothing is started: run this again"; fi
}

init_by_image() { # As its _main does it at a first start, with the roles of peerboot before what the user brings.
    # The server's options too: what the user brings may need a library that they load.
    PGDATA=$new bash -c '
        set -Eeo pipefail
        . "$1"
        roles=$2
        docker_setup_env
        docker_create_db_directories
        docker_verify_minimum_env
        ls /docker-entrypoint-initdb.d/ >/dev/null
        docker_init_database_dir
        pg_setup_hba_conf "${@:3}"
        export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
        docker_temp_server_start "${@:3}"
        docker_setup_db
        docker_process_sql --dbname postgres -f "$roles"
        docker_process_init_files /docker-entrypoint-initdb.d/*
        docker_temp_server_stop
    ' init "$official" "$here/roles.sql" postgres "$@" </dev/null
}

init_plainly() {
    set -- -D "$new" -U postgres --encoding=UTF8 -A scram-sha-256
    if [ -f "$here/superuser" ]; then set -- "$@" "--pwfile=$here/superuser"; else set -- "$@" --auth-local=trust; fi
    if ! initdb "$@" --data-checksums --locale=C.UTF-8 </dev/null; then
        rm -rf "$new" || return 1
        initdb "$@" --data-checksums --locale=C </dev/null || return 1
    fi
    # Single-user: no port, no socket, no password. Each statement of the file stands on a line of its own.
    # Without exit_on_error it goes on behind a statement that failed, and ends with 0.
    postgres --single -D "$new" -c exit_on_error=on postgres <"$here/roles.sql" >/dev/null || return 1
}

make_by_clone() {
    say "cloning the primary into $new"
    clone_status=0
    set -- -d "$permit_source" -D "$new" -X stream --checkpoint=fast -w
    if [ -n "$permit_slot" ]; then set -- "$@" -S "$permit_slot"; fi
    PGPASSFILE="$here/pgpass" pg_basebackup "$@" </dev/null || clone_status=$?
    if [ "$clone_status" -ne 0 ]; then
        rm -rf "$new" || :
        die "pg_basebackup ended with $clone_status, so nothing is started, and it is tried again: its lines above \
say why"
    fi
    if ! agrees "$new"; then die "$difference, so this copy is not used: it is of another cluster"; fi
}

# ------------------------------------------------------------------ resume

prepare_resume() {
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
        rm -f "$rewinding" || die "$rewinding cannot be removed, so nothing is started"
        return 0
    fi
    note "pg_rewind was cut off on $permit_data, so no server may start on it, and it is not run again; \
peerboot has the directory cloned anew: waiting for another permit"
    return 1
}

rewind() { # In place, so it is marked first: cut off, the directory is neither what it was nor what it is to be.
    # What the primary does not even answer costs no data. It ends with an error where the server had crashed, too.
    asked=$(PGPASSFILE="$here/pgpass" pg_rewind --dry-run --progress -D "$permit_data" \
        "--source-server=$permit_source" 2>&1 </dev/null) || :
    case $asked in
        *'connected to server'*) ;;
        *)
            printf '%s\n' "$asked" >&2 || :
            die "pg_rewind did not reach the primary, so nothing was changed, and it is tried again: its lines above \
say why"
            ;;
    esac
    aside=$permit_data.before-$permit_plan
    say "rewinding $permit_data to the primary; its log of now is kept in $aside"
    # With the slash also where pg_wal is a link.
    if ! { rm -rf "$aside" && mkdir -p "$aside/pg_wal" && cp -R "$permit_data/pg_wal/." "$aside/pg_wal/"; }; then
        rm -rf "$aside" || :
        die 'the log cannot be kept aside, so nothing is rewound: make room on the volume'
    fi
    durable "$aside"
    if ! { printf '%s\n' "$permit_plan" >"$rewinding"; } 2>/dev/null; then
        rm -f "$rewinding" || :
        die "$rewinding cannot be written, so nothing is rewound: make room on the volume"
    fi
    durable "$rewinding"
    # Where the server was killed pg_rewind ends its recovery first, which Postgres refuses to a standby.
    rm -f "$permit_data/standby.signal" || die "$permit_data/standby.signal cannot be removed, so nothing is rewound"
    rewind_status=0
    PGPASSFILE="$here/pgpass" pg_rewind -D "$permit_data" "--source-server=$permit_source" </dev/null ||
        rewind_status=$?
    if [ "$rewind_status" -ne 0 ]; then
        die "pg_rewind ended with $rewind_status, so the server is not started: its lines above say why"
    fi
    put_in_order "$permit_data" # pg_rewind brings the primary's files, which has no standby.signal
    durable "$permit_data"
    use_up "$permit_plan"
    rm -f "$rewinding" || die "$rewinding cannot be removed, so nothing is started"
    durable "$permit_data"
}

"""
