#!/bin/sh
# A data container: the start script and the readiness script of the operator's pods. The latter keeps the books (a
# replica may be promoted once it has the data), so it runs here every 2 s, whether or not the engine runs
# healthchecks; these read what it found.
set -u
auth=${AUTH_DIR:-/etc/contex-redis/auth} run=${RUN_DIR:-/run/contex-redis}
until [ -s "$auth/password" ] && [ -s "$auth/sentinel-password" ]; do sleep 0.2; done
while sleep 2; do
  if sh /opt/contex-redis/ready-redis.sh >"$run/readiness" 2>&1; then
    : >"$run/ready"
  else
    rm -f "$run/ready"
  fi
done &
exec sh /opt/contex-redis/start-redis.sh
