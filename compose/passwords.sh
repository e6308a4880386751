#!/bin/sh
# Makes the two passwords, once: later starts find them. Runs as root for a moment, to hand them to Redis' group.
set -eu
umask 077
dir=${AUTH_DIR:-/etc/contex-redis/auth}
for name in password sentinel-password; do
  if [ ! -s "$dir/$name" ]; then
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$dir/$name.new"
    chmod 0440 "$dir/$name.new"
    chown 999:1000 "$dir/$name.new"
    mv "$dir/$name.new" "$dir/$name"
  fi
done
chmod 0755 "$dir"
