#!/bin/sh
# Writes and reads through the sentinels, then through the master's Service: POSIX sh, in the image of Redis.
#   MASTER, PORT           Service of the master
#   SENTINELS, MASTER_NAME host:port,host:port and the name that they know; empty where there are none
#   DATABASE               number of the database
#   REDIS_PASSWORD, SENTINEL_PASSWORD   empty where Redis has none
#   DEADLINE               seconds until the test fails (default 120)
set -u
MASTER=${MASTER:?} PORT=${PORT:-6379} SENTINELS=${SENTINELS:-} MASTER_NAME=${MASTER_NAME:-} DATABASE=${DATABASE:-0}
DEADLINE=${DEADLINE:-120}
CLI=redis-cli
command -v "$CLI" >/dev/null 2>&1 || CLI=valkey-cli
KEY="contex:helm-test:$(hostname):$$"
started=$(date +%s)

# ask PASSWORD HOST PORT COMMAND…: the answer on stdout; the password goes by environment, never by argument.
ask() {
    password=$1 host=$2 port=$3
    shift 3
    if [ -n "$password" ]; then
        REDISCLI_AUTH=$password timeout 5 "$CLI" --no-auth-warning -h "$host" -p "$port" "$@" 2>&1
    else
        timeout 5 "$CLI" -h "$host" -p "$port" "$@" 2>&1
    fi
}

# The master's address by the first sentinel that names one: "address port", or the last complaint and 1.
master_by_sentinels() {
    complaint='no sentinel is known'
    for sentinel in $(echo "$SENTINELS" | tr , ' '); do
        answer=$(ask "${SENTINEL_PASSWORD:-}" "${sentinel%:*}" "${sentinel##*:}" \
            SENTINEL get-master-addr-by-name "$MASTER_NAME") || answer="$answer (no connection)"
        # Two lines: the address and the port.
        case $(echo "$answer" | sed -n 2p) in
            '' | *[!0-9]*) complaint="sentinel $sentinel says: $answer" ;;
            *)
                echo "$answer" | tr '\n' ' '
                return 0
                ;;
        esac
    done
    echo "$complaint"
    return 1
}

# round_trip HOST PORT VALUE: writes and reads back; the key expires by itself.
round_trip() {
    answer=$(ask "${REDIS_PASSWORD:-}" "$1" "$2" -n "$DATABASE" SET "$KEY" "$3" EX 60)
    [ "$answer" = OK ] || { echo "writing at $1:$2: $answer"; return 1; }
    answer=$(ask "${REDIS_PASSWORD:-}" "$1" "$2" -n "$DATABASE" GET "$KEY")
    [ "$answer" = "$3" ] || { echo "reading at $1:$2: $answer instead of $3"; return 1; }
}

through_sentinels() {
    found=$(master_by_sentinels) || { echo "$found"; return 1; }
    # shellcheck disable=SC2086 # two words: address and port
    set -- $found
    round_trip "$1" "$2" "sentinel-$$"
}

through_service() {
    round_trip "$MASTER" "$PORT" "service-$$"
}

# eventually NAME FUNCTION: a pod may be starting and a failover running; the last answer is told.
eventually() {
    until said=$("$2"); do
        if [ $(($(date +%s) - started)) -ge "$DEADLINE" ]; then
            echo "FAILED $1: $said"
            exit 1
        fi
        sleep 1
    done
    echo "ok     $1"
}

[ -z "$SENTINELS" ] || eventually "write and read through the sentinels" through_sentinels
eventually "write and read through the Service $MASTER" through_service
