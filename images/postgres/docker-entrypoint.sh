#!/usr/bin/env bash
# Stands in for the official image's docker-entrypoint.sh: functions of the same names that do the same, for launch.sh
# calls them. Run by itself it starts nothing.
set -Eeo pipefail

file_env() { # $1 from the file that $1_FILE names
    local file=$1_FILE
    if [ -n "${!1:-}" ] && [ -n "${!file:-}" ]; then
        printf 'error: both %s and %s are set\n' "$1" "$file" >&2
        exit 1
    fi
    if [ -n "${!file:-}" ]; then export "$1"="$(<"${!file}")"; else export "$1"="${!1:-${2:-}}"; fi
    unset "$file"
}

docker_setup_env() {
    file_env POSTGRES_PASSWORD
    file_env POSTGRES_USER postgres
    file_env POSTGRES_DB "$POSTGRES_USER"
    file_env POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
}

docker_create_db_directories() {
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || :
    mkdir -p /var/run/postgresql || :
    chmod 03775 /var/run/postgresql || :
}

docker_verify_minimum_env() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ trust != "$POSTGRES_HOST_AUTH_METHOD" ]; then
        printf 'Error: Database is uninitialized and superuser password is not specified.\n' >&2
        exit 1
    fi
}

docker_init_database_dir() { # A user without a name gets one from nss_wrapper, for initdb asks for it.
    local wrapper=''
    if ! getent passwd "$(id -u)" >/dev/null; then
        for wrapper in /usr/lib/*-linux-gnu/libnss_wrapper.so; do
            [ -s "$wrapper" ] || continue
            NSS_WRAPPER_PASSWD=$(mktemp) NSS_WRAPPER_GROUP=$(mktemp)
            export LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
            printf 'postgres:x:%s:%s:PostgreSQL:%s:/bin/false\n' "$(id -u)" "$(id -g)" "$PGDATA" >"$NSS_WRAPPER_PASSWD"
            printf 'postgres:x:%s:\n' "$(id -g)" >"$NSS_WRAPPER_GROUP"
            break
        done
    fi
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"' "$@"'
    if [ -n "${NSS_WRAPPER_PASSWD:-}" ]; then
        rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
        unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    fi
}

pg_setup_hba_conf() {
    if [ "${1:-}" = postgres ]; then shift; fi
    local auth
    auth=$(postgres -C password_encryption "$@")
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-$auth}" >>"$PGDATA/pg_hba.conf"
}

docker_temp_server_start() {
    if [ "${1:-}" = postgres ]; then shift; fi
    set -- "$@" -c listen_addresses='' -p "${PGPORT:-5432}"
    NOTIFY_SOCKET='' PGUSER=${PGUSER:-$POSTGRES_USER} pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
}

docker_temp_server_stop() {
    PGUSER=${PGUSER:-postgres} pg_ctl -D "$PGDATA" -m fast -w stop
}

docker_process_sql() {
    local runner=(psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc)
    if [ -n "$POSTGRES_DB" ]; then runner+=(--dbname "$POSTGRES_DB"); fi
    PGHOST=/var/run/postgresql PGHOSTADDR='' "${runner[@]}" "$@"
}

docker_setup_db() {
    local there
    there=$(POSTGRES_DB='' docker_process_sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only \
        <<<"SELECT 1 FROM pg_database WHERE datname = :'db';")
    if [ -z "$there" ]; then
        POSTGRES_DB='' docker_process_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
}

docker_process_init_files() {
    local file
    for file; do
        case $file in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) docker_process_sql -f "$file" ;;
            *.sql.gz) gunzip -c "$file" | docker_process_sql ;;
            *) printf '%s: ignoring %s\n' "$0" "$file" ;;
        esac
    done
}

_is_sourced() {
    [ "${#FUNCNAME[@]}" -ge 2 ] && [ "${FUNCNAME[0]}" = _is_sourced ] && [ "${FUNCNAME[1]}" = source ]
}

if ! _is_sourced; then
    printf 'error: this image is started by launch.sh alone\n' >&2
    exit 1
fi
