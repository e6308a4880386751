#!/bin/bash
# pid 1 of a node: its disks, then containerd, then kubelet and kube-proxy.
#   LAB_ROOT   the parent of all laboratories' folders; stays visible
# shellcheck source=lab/scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

mount -t proc proc /proc

# The node's own disk. kubelet and containerd write below /var/lib and /var/log and cannot all be told otherwise;
# /run is volatile, as on any machine.
mkdir -p "$LAB_HOME"/{lib/contex-lab,lib/kubelet,lib/containerd,lib/cni,lib/volumes,log}
mount --rbind "$LAB_ROOT" "$LAB_HOME/lib/contex-lab"
mount --bind "$LAB_HOME/log" /var/log
mount --rbind "$LAB_HOME/lib" /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/containerd /run/netns /run/lock /run/tmp
export TMPDIR=/run/tmp

# Volumes: each is a file system of its own size. They come and go with this mount namespace, and with them their
# loop devices.
for image in /var/lib/volumes/*.ext4; do
    mkdir -p "${image%.ext4}"
    mount -o loop,noatime "$image" "${image%.ext4}" || exit 1
done

service containerd
# kubelet ends where containerd answers and its CRI plugin is not ready yet.
until ctr --namespace k8s.io plugins ls 2>/dev/null | grep -q 'io.containerd.grpc.v1 *cri .*ok'; do
    sleep 0.1
done

wait_for_go
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null
service kubelet
service kube-proxy
reap
