#!/bin/bash
# pid 1 of the client host: the cluster's DNS as resolver, kube-proxy for the addresses of Services.
# /proc stays the machine's own: commands that are run here by `lab run` are in the machine's pid namespace.
# shellcheck source=lab/scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

mount --bind "$LAB_HOME/resolv.conf" /etc/resolv.conf
wait_for_go
service kube-proxy
reap
