"""The part of ``launch.sh`` that brings a data directory in order, whatever made it; ``script.py`` has the rest."""

from __future__ import annotations

DIRECTORY = r"""# --------------------------------------------------------------- the directory

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

is_ours() { # Whether a server of this image, and of this container's user, can start on directory $1.
    if [ ! -O "$1" ]; then
        die "$1 belongs to user $(stat -c %u "$1" 2>/dev/null || :), and this container runs as $user_id, so nothing \
starts: set runAsUser to that user, or give the directory to this one (chown -R)"
    fi
    if read_file "$1/PG_VERSION" && [ "$file_text" != "$own_release" ]; then
        case $file_text in *[!0123456789.]*) file_text='an unknown release' ;; esac
        die "$1 is of Postgres $file_text, and this image has $own_release, so nothing starts: use an image of \
$file_text, or upgrade the directory with pg_upgrade"
    fi
}

put_in_order() { # What peerboot must own in directory $1, whatever made it: a copy brings its source's files along.
    # Looked at first: beside a standby.signal it would not count any more, also for whoever goes on by hand.
    if [ -e "$1/recovery.signal" ]; then
        die "$1/recovery.signal is there: a restore to a point in time was begun by hand, and ends in a server that \
takes writes. Let it end by hand, without peerboot, or remove that file"
    fi
    # A server without it takes writes at once, on the timeline that others may be on: never.
    mark "$1/standby.signal" || die "$1/standby.signal cannot be written, so nothing starts: make \
room on the volume, or mount it writable"
    for file_name in postgresql.conf pg_hba.conf; do
        if [ ! -f "$1/$file_name" ]; then
            die "$1/$file_name is not there, so nothing starts: bring it back (Debian keeps it in /etc/postgresql, \
bitnami's image in /opt/bitnami/postgresql/conf)"
        fi
    done
    # ALTER SYSTEM writes there, and is read last: an old source would be followed for ever, and a target of a restore
    # that has ended long ago, which tools leave there, can make a standby promote itself.
    file_name=$1/postgresql.auto.conf
    if grep -q "$not_theirs" "$file_name" 2>/dev/null; then
        new_text=$(sed "/$not_theirs/d" "$file_name" && printf .) || not_written
        replace "$new_text"
    fi
    file_name=$1/postgresql.conf
    if grep -q '^[[:space:]]*promote_trigger_file' "$file_name"; then
        die "$file_name has promote_trigger_file, by which this server could take writes although another one does, so \
nothing starts: remove that line"
    fi
    # The last line that names a setting counts, so peerboot's come last. The line of another one's peerboot, whose
    # files a copy brings along, names a file that is not here.
    last_line=$(sed -n '$p' "$file_name") ||
        die "$file_name cannot be read, so nothing starts: give it to user $user_id"
    if [ "$last_line" != "$own_settings" ]; then
        new_text=$(
            sed "/^# The next line is peerboot's/{N;d;}" "$file_name" &&
                printf '\n%s\n%s\n.' "# The next line is peerboot's." "$own_settings"
        ) || not_written
        replace "$new_text"
    fi
    # The first line that matches counts, so peerboot's come first. Made anew each time: they may have changed.
    if ! read_file "$here/pg_hba.peerboot"; then
        die "$here/pg_hba.peerboot is not there, so nothing starts: peerboot writes it before the permit, ask it with \
'peerboot explain'"
    fi
    file_name=$1/pg_hba.conf
    new_text=$(
        printf '%s\n' "$own_begin" "$file_text" "$own_end" &&
            sed "/^# These lines are peerboot's/,/^# End of the lines of peerboot/d" "$file_name" && printf .
    ) || not_written
    replace "$new_text"
    # fsGroup makes it 2770, with which no server starts.
    chmod 0700 "$1" || die "$1 cannot be made private, so nothing starts: give the server's user that directory"
}

# In postgresql.auto.conf.
not_theirs='^[[:space:]]*\(primary_conninfo\|primary_slot_name\|recovery_target\|promote_trigger_file\)'

not_written() {
    die "$file_name.new cannot be written, so nothing starts: make room on the volume"
}

why() { # $1: a tool. What its first error in $here/errors says, and what to do about it ($2: else), into two names.
    cause='it says nothing' remedy=$2
    read_file "$here/errors" || return 0
    for file_line in $file_text; do
        case $file_line in
            "$1: error: "* | "$1: could not look up "*) cause=$file_line ;;
            *'] ERROR:  '* | *'] FATAL:  '*) cause=${file_line#*'] '} ;; # the server's log, behind the time
            *) continue ;;
        esac
        break
    done
    case $file_text in
        *'No space left on device'*) remedy='make room on the volume' ;;
        *'password authentication failed'* | *'no password supplied'*)
            remedy='give all Pods of the set the same PEERBOOT_POSTGRES_PASSWORD_FILE' ;;
        *'no pg_hba.conf entry'* | *'pg_hba.conf rejects'*)
            remedy="restart the primary's Pod, which puts peerboot's lines first in its pg_hba.conf" ;;
        *'max_wal_senders'*) remedy='raise max_wal_senders of the primary' ;;
        *'incompatible server version'*) remedy='use the same release of Postgres in all Pods' ;;
        *'could not look up effective user'*)
            remedy='use an image with libnss_wrapper.so, or a runAsUser that its /etc/passwd has' ;;
        *'Permission denied'*) remedy="give the volume to user $user_id, with fsGroup for example" ;;
    esac
}

replace() { # $1: the new text of file_name, and a dot. printf says that a volume is full; busybox' sed does not.
    printf '%s' "${1%.}" >"$file_name.new" || not_written
    mv -f "$file_name.new" "$file_name" || die "$file_name cannot be replaced, so nothing starts: look at the volume"
}

durable() { # All that was written to the volume of file or directory $1, before a server may start on it.
    # A log that is elsewhere too.
    if [ -L "$1/pg_wal" ]; then sync -f "$1/pg_wal/." 2>/dev/null || sync || :; fi
    sync -f "$1" 2>/dev/null || sync || die 'sync failed, so nothing is started: look at the volume'
}

give_locale() {
    if [ -n "$own_locale" ]; then LC_ALL=$own_locale; else unset LC_ALL; fi
    if [ -n "$own_language" ]; then LANGUAGE=$own_language; else unset LANGUAGE; fi
}

whole() { # The new directory gets its name.
    durable "$new"
    # It was about a directory that is gone.
    unmark
    if [ -e "$permit_data" ] || [ -L "$permit_data" ]; then # mv would put the new one into it
        die "$permit_data has come meanwhile, so $new does not get that name: run this again"
    fi
    if ! mv "$new" "$permit_data"; then
        die "$new cannot be renamed to $permit_data, so nothing is started: look at the volume"
    fi
    durable "$permit_data"
    use_up "$permit_plan"
    was_made=yes # in this very run, and in order
}

unmark() {
    rm -f "$rewinding" || die "$rewinding cannot be removed, so nothing is started: look at the volume"
}

use_up() {
    mark "$here/used.$1" || die "$here cannot be written, so nothing is started: mount it writable here too"
}

"""
