#!/bin/sh
# Liveness of a data pod: fails only where the server hangs, that is, takes the connection and does not answer in 3 s.
# A server that is still loading may be silent for long (one big key), and a restart would only begin anew.
# It never looks at replication or at the gate: a restart would end the last copies of the data while there is no
# master. Where no server runs (damaged data, a start in progress) the shell above it decides, by ending.
set -u
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${CONTEX_DIR:-/opt/contex-redis}/lib.sh"
prepare_cli
[ ! -e "$STARTING" ] || exit 0
cli "$PASSWORD" 3 -s "$SOCKET" PING </dev/null >/dev/null 2>&1
# Any answer is a sign of life, and so is a refused connection or a missing socket. 124 is timeout's word in coreutils, 143 in BusyBox.
case $? in
  124 | 137 | 143)
    echo "redis-server has not answered a PING over its socket within 3 s"
    exit 1
    ;;
esac
exit 0
