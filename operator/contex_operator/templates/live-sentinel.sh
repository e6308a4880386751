#!/bin/sh
# Liveness of a sentinel: fails only where it takes the connection and does not answer in 3 s.
set -u
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${CONTEX_DIR:-/opt/contex-redis}/lib.sh"
prepare_cli
cli "$SENTINEL_PASSWORD" 3 -h "$(loopback)" -p "$SENTINEL_PORT" PING </dev/null >/dev/null 2>&1
# 124 is timeout's word in coreutils, 143 in BusyBox.
case $? in
  124 | 137 | 143)
    echo "the sentinel has not answered a PING within 3 s"
    exit 1
    ;;
esac
exit 0
