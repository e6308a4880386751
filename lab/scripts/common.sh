# shellcheck shell=bash
# Shared by the init scripts of the laboratory's hosts; each of them runs as pid 1 of its host.
#   LAB_HOME   folder of this host: NAME.argv (a daemon's command, one argument a line), log/NAME.log
#   LAB_HOST   name of this host
#   LAB_GO     number of a file descriptor that says one line as soon as the network (and the API) are there
set -u

# service NAME: run the daemon in the background, again whenever it ends, as a machine's service manager does.
service() {
    local name=$1 argv
    mapfile -t argv <"$LAB_HOME/$name.argv"
    while :; do
        # A shell without job control ignores SIGINT in what it starts in the background, and that would reach
        # even the processes in the pods: give every daemon the default signals.
        env --default-signal "${argv[@]}" >>"$LAB_HOME/log/$name.log" 2>&1 {LAB_GO}<&-
        echo "$name ended with $?, it is started again" >>"$LAB_HOME/log/$name.log"
        sleep 0.5
    done &
}

# wait_for_go: block until the laboratory says so. When whoever boots this host dies first, the host goes down.
wait_for_go() {
    read -r _ <&"$LAB_GO" || exit 1
    exec {LAB_GO}<&-
}

# reap: pid 1's last duty. bash collects every orphan while it waits.
reap() {
    while :; do
        wait
        sleep 1
    done
}

hostname "$LAB_HOST"
mount --make-rprivate /
