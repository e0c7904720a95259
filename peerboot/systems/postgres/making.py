"""The part of ``launch.sh`` that makes a data directory, anew or as a copy; ``script.py`` has the rest."""

from __future__ import annotations

MAKING = r"""# ------------------------------------------------------------------ first

prepare_first() {
    if is_there "$permit_data"; then
        # This very plan made it, and was killed before the server started; else it is not what the permit is about.
        if [ -e "$here/begun.$permit_plan" ] && { [ -z "$permit_system" ] || agrees "$permit_data"; }; then
            is_ours "$permit_data"
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
    forget_new || die "$new cannot be removed, so nothing is made: look at the volume"
    log_place=''
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
        # Each plan has a place of its own there: a directory that was set aside still has its log in another one.
        log_place=$POSTGRES_INITDB_WALDIR/$permit_plan
    fi
    under_watch || return 1
    "make_by_$permit_work" "$@"
    put_in_order "$new"
    whole
}

forget_new() { # By its name what an earlier run of this script left unfinished; no server ever ran there.
    if [ -L "$new/pg_wal" ]; then # the log is elsewhere
        set +f
        rm -rf "$new"/pg_wal/*
        set -f
    fi
    rm -rf "$new"
}

empty_name() { # An empty directory is in the way of the name; one with lost+found is a mount's root.
    if [ ! -e "$permit_data" ] && [ ! -L "$permit_data" ]; then return 0; fi
    if rmdir "$permit_data" 2>/dev/null; then return 0; fi
    note "$permit_data is no empty directory, so nothing is made there: name a directory below the volume's mount"
    return 1
}

make_by_init() {
    if [ ! -f "$here/roles.sql" ]; then
        die "$here/roles.sql is not there, so nothing is made: peerboot writes it before the permit, ask it with \
'peerboot explain'"
    fi
    official=''
    if command -v bash >/dev/null && command -v docker-entrypoint.sh >/dev/null; then
        official=$(command -v docker-entrypoint.sh)
        if ! grep -q 'docker_process_init_files' "$official"; then official=''; fi
    fi
    if [ -n "$official" ]; then
        say "making a new cluster with the image's own docker-entrypoint.sh"
        keep_words "making a new cluster with the image's own docker-entrypoint.sh"
        if ! work init_by_image "$@"; then
            end_first_server
            die "the image's first start failed, which a file in /docker-entrypoint-initdb.d may have done, so nothing \
is started, and it is made anew from the beginning: the lines above in this container's log say why"
        fi
    else
        say 'making a new cluster with initdb'
        keep_words 'making a new cluster with initdb'
        if is_any /docker-entrypoint-initdb.d/*; then
            say "this image has no docker-entrypoint.sh, so the files in /docker-entrypoint-initdb.d are not run"
        fi
        find_name
        init_plainly
    fi
    if [ -e "$new/postmaster.pid" ]; then die "the first server did not end, so nothing is started: run this again"; fi
}

is_any() { # The pattern is the argument, for here no name is expanded before.
    set +f
    for hook_file in $1; do
        if [ -e "$hook_file" ]; then
            set -f
            return 0
        fi
    done
    set -f
    return 1
}

find_name() { # Some tools ask passwd for the name of their user, which OpenShift's users do not have.
    if id -un >/dev/null 2>&1; then return 0; fi
    set +f
    for wrapper_file in /usr/lib/*/libnss_wrapper.so /usr/lib64/libnss_wrapper.so /usr/lib/libnss_wrapper.so; do
        if [ -s "$wrapper_file" ]; then wrapper=$wrapper_file; fi
    done
    set -f
    if [ -z "$wrapper" ]; then
        die "user $user_id has no name in this image, and initdb, and pg_rewind after a crash, refuse that, so nothing \
is done: use an image that has libnss_wrapper.so, as docker.io/postgres, or a runAsUser that its /etc/passwd has"
    fi
    if ! { printf 'postgres:x:%s:%s::/:/bin/sh\n' "$user_id" "$(id -g)" >"$here/passwd" &&
        printf 'postgres:x:%s:\n' "$(id -g)" >"$here/group"; } 2>/dev/null; then
        die "$here cannot be written, so nothing is made: mount it writable here too"
    fi
}

named() { # As docker-entrypoint.sh does it around initdb. The server asks for no name.
    if [ -n "$wrapper" ]; then
        LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD=$here/passwd NSS_WRAPPER_GROUP=$here/group
        export LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    fi
    exec "$@"
}

end_first_server() { # It goes on without whoever started it.
    if [ -n "$new" ] && [ -e "$new/postmaster.pid" ]; then
        pg_ctl -D "$new" -m immediate -w stop >/dev/null 2>&1 || :
    fi
}

init_by_image() { # As its _main does it at a first start, with the roles of peerboot before what the user brings.
    # The server's options too: what the user brings may need a library that they load.
    give_locale
    PGDATA=$new POSTGRES_INITDB_WALDIR=$log_place
    export PGDATA POSTGRES_INITDB_WALDIR
    exec bash -c '
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
    superuser=$here/superuser
    if [ ! -f "$superuser" ] && [ -n "${POSTGRES_PASSWORD:-}" ]; then
        superuser=$here/superuser.once
        printf '%s\n' "$POSTGRES_PASSWORD" >"$superuser" || init_failed initdb
    fi
    if [ ! -f "$superuser" ] && [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then superuser=$POSTGRES_PASSWORD_FILE; fi
    if [ -f "$superuser" ]; then set -- "$@" "--pwfile=$superuser"; else set -- "$@" --auth-local=trust; fi
    if [ -n "$log_place" ]; then set -- "$@" "--waldir=$log_place"; fi
    if ! work named initdb "$@" --data-checksums --locale=C.UTF-8 2>"$here/errors"; then
        cat "$here/errors" >&2
        forget_new || :
        work named initdb "$@" --data-checksums --locale=C 2>"$here/errors" || init_failed initdb
    fi
    rm -f "$here/superuser.once" || :
    # As the image's own entrypoint does: without it users come in from this container only.
    printf '\nhost all all all scram-sha-256\n' >>"$new/pg_hba.conf" || init_failed initdb
    work take_roles 2>"$here/errors" || init_failed postgres
    cat "$here/errors" >&2
}

init_failed() { # $1: the program.
    cat "$here/errors" >&2
    why "$1" 'look at the volume and the image'
    die "no cluster was made, for '$cause', so nothing is started: $remedy; it is tried again"
}

take_roles() {
    # Single-user: no port, no socket, no password. Each statement of the file stands on a line of its own.
    # Without exit_on_error it goes on behind a statement that failed, and ends with 0.
    named postgres --single -D "$new" -c exit_on_error=on postgres <"$here/roles.sql" >/dev/null
}

with_passwords() { # The server does not get that variable: extensions that connect would use it.
    PGPASSFILE=$here/pgpass
    export PGPASSFILE
    named "$@"
}

make_by_clone() {
    say "cloning the primary into $new"
    keep_words "cloning the primary into $new"
    clone_status=0
    set -- -d "$permit_source" -D "$new" -X stream --checkpoint=fast -w
    if [ -n "$permit_slot" ]; then set -- "$@" -S "$permit_slot"; fi
    if [ -n "$log_place" ]; then set -- "$@" "--waldir=$log_place"; fi
    work with_passwords pg_basebackup "$@" 2>"$here/errors" || clone_status=$?
    cat "$here/errors" >&2
    if [ "$clone_status" -ne 0 ]; then
        forget_new || :
        why pg_basebackup 'see whether the primary runs and is reached from here'
        die "the primary was not copied, for '$cause', so nothing is started: $remedy; it is tried again"
    fi
    if ! agrees "$new"; then
        die "$difference, so this copy is not used: it is of another cluster, look at PEERBOOT_POSTGRES_HOST"
    fi
    is_ours "$new"
}

"""
