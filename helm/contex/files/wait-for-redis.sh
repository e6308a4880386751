#!/bin/sh
# Waits until Contex can start: POSIX sh, in the image of Redis. It needs no password: NOAUTH is an answer, too.
#   MASTER     Service of the master
#   SENTINELS  host:port,host:port where Contex asks the sentinels; else empty
#   NODES      Service of all data pods, with SENTINELS
#   PATIENCE   seconds to wait for MASTER where SENTINELS answer already (default 60)
set -u
MASTER=${MASTER:?} SENTINELS=${SENTINELS:-} NODES=${NODES:-} PATIENCE=${PATIENCE:-60}
PORT=${PORT:-6379}
CLI=redis-cli
command -v "$CLI" >/dev/null 2>&1 || CLI=valkey-cli

# answers HOST PORT: something there speaks Redis and has loaded its data. An address may be a black hole.
answers() {
    # The ":" keeps the shell's word about a command that was ended inside the substitution.
    case $({ timeout 3 "$CLI" -h "$1" -p "$2" PING; :; } 2>&1) in
        PONG* | *NOAUTH*) return 0 ;;
    esac
    return 1
}

any_sentinel_answers() {
    for host in $(echo "$SENTINELS" | tr , ' '); do
        answers "${host%:*}" "${host##*:}" && return 0
    done
    return 1
}

# Sets `lacking` to what is still missing, in words, or to nothing. `since` is when only the master was left to miss.
since=''
look() {
    lacking=''
    if [ -n "$SENTINELS" ] && ! any_sentinel_answers; then
        lacking="a sentinel at $SENTINELS" since=''
    elif [ -n "$SENTINELS" ] && ! answers "$NODES" "$PORT"; then
        lacking="a data pod at $NODES:$PORT" since=''
    elif ! answers "$MASTER" "$PORT"; then
        : "${since:=$(date +%s)}"
        # The sentinels know the master even while nobody moves its Service: a short wait, for a quiet first start.
        [ -n "$SENTINELS" ] && [ $(($(date +%s) - since)) -ge "$PATIENCE" ] || lacking="a master at $MASTER:$PORT"
    fi
}

said=''
while look && [ -n "$lacking" ]; do
    [ "$lacking" = "$said" ] || echo "waiting for $lacking"
    said=$lacking
    sleep 1
done
echo "Redis answers"
