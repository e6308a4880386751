#!/bin/bash
# pid 1 of the control host: etcd and the API server at once, the controllers when the API server is ready, for
# they end when they start before it has made its bootstrap roles.
# shellcheck source=lab/scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

mount -t proc proc /proc
service etcd
service apiserver
wait_for_go
service controllers
service scheduler
reap
