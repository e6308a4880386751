#!/bin/bash
# import-images.sh FOLDER ARCHIVE…: import image archives into the new containerd root FOLDER/root.
# Runs as pid 1 of namespaces of its own; containerd ends by SIGTERM, so that its databases are whole.
set -eu
folder=$1
shift
mount -t tmpfs tmpfs /run
mkdir -p "$folder/root"
cat >"$folder/config.toml" <<END
version = 2
root = "$folder/root"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri"]
END
containerd --config "$folder/config.toml" --log-level warn &
daemon=$!
until ctr version >/dev/null 2>&1; do
    kill -0 "$daemon" || exit 1
    sleep 0.05
done
for archive in "$@"; do
    ctr --namespace k8s.io images import "$archive"
done
kill "$daemon"
wait "$daemon" || true
