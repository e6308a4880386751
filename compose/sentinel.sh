#!/bin/sh
# A sentinel: the start script of the operator's pods.
set -u
auth=${AUTH_DIR:-/etc/contex-redis/auth}
until [ -s "$auth/password" ] && [ -s "$auth/sentinel-password" ]; do sleep 0.2; done
exec sh /opt/contex-redis/start-sentinel.sh
