"""What every ``launch.sh`` has in common: POSIX sh, for dash, bash and busybox. ``script.py`` of a system has the rest.

Pure text. The vendor's container runs the script, which waits for the permit, makes what it says, and becomes the
server. ``permits.py`` is the writer of the other side.
"""

from __future__ import annotations

from collections.abc import Sequence

from peerboot.permits import END, LEAST_PLAN, MOST_PLAN

PERMIT_NAME = "run.ok"
LAUNCH_NAME = "launch.sh"
STATUS_NAME = "launch.status"
"""What the script says of itself: its last words in one line, for peerboot to show; gone once a server starts."""

STRICT = r"""set -euf
trap 'exit 143' TERM
trap 'exit 130' INT
"""
"""How it goes on from the comment at its head."""

WORDS = r"""newline=$(printf '\n.')
newline=${newline%.}
IFS=$newline # all that is split below are lines, and values may have blanks
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
nap_seconds=0.2 said_note='' said_status=''

say() {
    printf 'peerboot: %s\n' "$1" || : # a log that is full keeps no server from starting
}

keep_words() { # For peerboot, which shows them: this container's log is not its own.
    { printf '%s\n' "$1" >"$here/launch.status"; } 2>/dev/null || :
}

note() { # The same words once only.
    if [ "$1" != "$said_note" ]; then
        say "$1"
        keep_words "$1"
    fi
    said_note=$1
}

die() {
    printf 'peerboot: %s\n' "$1" >&2 || :
    keep_words "$1"
    exit "${2:-1}"
}

need() { # Found before anything is made, not in the middle.
    for tool_name in "$@"; do
        if ! command -v "$tool_name" >/dev/null; then
            die "there is no $tool_name in this image, so nothing is started: use an image that has it" 127
        fi
    done
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

"""

LAST_LOOK = r"""is_permit_there() { # The one that was taken.
    read_file "$here/run.ok" && [ "$file_text" = "$permit_text" ]
}

is_permitted_still() { # The last look, after all that takes time.
    if is_permit_there; then return 0; fi
    note 'the permit was withdrawn or replaced just before the start: looking again'
    return 1
}

"""

_TAKE = r"""# ---------------------------------------------------------------- the permit

take_permit() {
    if ! read_file "$here/run.ok"; then said_note=''; return 1; fi
    permit_text=$file_text
    if ! parse_permit || ! is_permit; then
        note "$here/run.ok is no permit that this script knows: waiting for peerboot to write another"
        return 1
    fi
    if [ ! -f "$here/SETTINGS" ]; then
        note "$here/SETTINGS is not there beside the permit: waiting for peerboot to write it"
        return 1
    fi
}

parse_permit() {
    CLEARED
    permit_end='' seen_keys=' '
    [ "${#permit_text}" -lt 65535 ] || return 1
    for file_line in $permit_text; do
        case $file_line in '#'*) continue ;; *[[:cntrl:]]*) return 1 ;; *=*) ;; *) return 1 ;; esac
        file_key=${file_line%%=*}
        file_value=${file_line#*=}
        case $seen_keys in *" $file_key "*) return 1 ;; esac
        case $file_key in
            KEYS
            *) return 1 ;;
        esac
        seen_keys="$seen_keys$file_key "
    done
    # The last line: a text that was cut off has none.
    [ "$permit_end" = "$permit_plan" ] || return 1
    # It becomes part of a file's name.
    case $permit_plan in *[!0123456789abcdef]*) return 1 ;; PLAN*) ;; *) return 1 ;; esac
    [ "${#permit_plan}" -le MOST ]
}

"""


def taking(keys: Sequence[str], settings_name: str, many: str = "") -> str:
    """The functions that read a permit with these keys into ``permit_KEY``; ``many`` is a key that may come many times.

    ``is_permit`` is the system's own: whether they go together. ``settings_name`` is the file that comes before the
    permit and that the server needs.
    """
    branches = [f"{key}) permit_{key}=$file_value ;;" for key in (*keys, END)]
    if many:
        # It alone may come again.
        branches.append(f"{many}) permit_{many}=$permit_{many}$file_value$newline; continue ;;")
    cleared = [f"permit_{key}=''" for key in (*keys, *([many] if many else []))]
    lines = [" ".join(cleared[at : at + 5]) for at in range(0, len(cleared), 5)]
    given = {
        "SETTINGS": settings_name,
        "CLEARED": "\n    ".join(lines),
        "KEYS": "\n            ".join(branches),
        "PLAN": "?" * LEAST_PLAN,
        "MOST": str(MOST_PLAN),
    }
    text = _TAKE
    for word, value in given.items():
        text = text.replace(word, value)
    return text
