"""``router.sh``: runs HAProxy or PgBouncer in its vendor's container, and has it read peerboot's file again. Pure.

POSIX sh, for dash, bash and busybox. Neither program looks at its file by itself, and peerboot signals no process of
another container.
"""

from __future__ import annotations

ROUTER = r"""#!/bin/sh
# Written by peerboot; changes are lost. The container of HAProxy or PgBouncer runs it:
#   sh /run/peerboot/router.sh haproxy [-f /etc/haproxy/own.cfg]
#   sh /run/peerboot/router.sh pgbouncer /etc/pgbouncer/pgbouncer.ini
#
# It waits for the file beside it, becomes the program, and leaves a watch behind that has the program read the file
# again within a second of its change. A haproxy.cfg that HAProxy itself finds wrong is not read: the last one holds.
# Exit codes: 2 called wrongly; 143 and 130 stopped while it waited; else the program's.
set -uf
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
program=${1:-}
case $program in
    haproxy) file=$here/haproxy.cfg signal=USR2 ;;
    pgbouncer) file=$here/pgbouncer.ini signal=HUP ;;
    *)
        echo "peerboot: router.sh runs haproxy or pgbouncer, and was asked for '$program'" >&2
        exit 2
        ;;
esac
shift
if [ "$program" = haproxy ]; then set -- -W -db -f "$file" "$@"; fi

say() {
    printf 'peerboot: %s\n' "$1" >&2 || :
}

watch() { # $1: the program's process; then its arguments
    watched=$1
    shift
    while sleep 1 && kill -0 "$watched" 2>/dev/null; do
        now=$(cat "$file" 2>/dev/null)
        if [ -z "$now" ] || [ "$now" = "$known" ]; then continue; fi
        known=$now
        if [ "$program" = haproxy ] && ! found=$(haproxy -c "$@" 2>&1); then
            say "HAProxy finds this wrong in its new file, and keeps the last one: $found"
        else
            say "$program reads its file again, for it has changed"
            kill -s "$signal" "$watched"
        fi
    done
}

trap 'exit 143' TERM USR1
trap 'exit 130' INT
said=''
while [ ! -s "$file" ]; do
    if [ -z "$said" ]; then say "waiting for $file, which peerboot writes once it knows the primary"; fi
    said=yes
    sleep 1 &
    wait $!
done
known=$(cat "$file")
watch "$$" "$@" </dev/null &
trap - TERM USR1 INT
exec "$program" "$@"
"""
