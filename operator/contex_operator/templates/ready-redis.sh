#!/bin/sh
# Readiness of a data pod: the port is open, and it is a master that has loaded, or a replica whose link is up and
# that is not in a full sync. Run every 2 s.
#
# It also keeps the books of the running server, since it is the one that looks:
#   - replica-priority: every start puts it to 0; here it becomes 100 after the first completed sync, and 0 again while
#     a full sync runs: Sentinel itself would promote a replica that never had the data;
#   - DATA_DIR/contex-initialised and contex-unsynced (start-redis.sh says what they mean). After a full sync the
#     append-only file on the disk is the old one until its rewrite has ended: unsynced until then;
#   - DATA_DIR/contex-state: replication id, offset, role, master and config-epoch, for the next start.
set -u
umask 077
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${CONTEX_DIR:-/opt/contex-redis}/lib.sh"
# shellcheck source=/dev/null
. "$CONTEX_DIR/settings"
MASTER_NAME=${MASTER_NAME:-mymaster}
prepare_cli

# not_ready SENTENCE: while the gate has not decided yet, its own sentence says more.
not_ready() {
  gate=
  [ ! -r "$RUN_DIR/state" ] || IFS= read -r gate <"$RUN_DIR/state" || :
  case $gate in waiting* | loading*) echo "$gate" ;; *) echo "$1" ;; esac
  exit 1
}

# record: what matters, when it changed; the offset at most every 10 s.
record() {
  read_members data
  read_state
  present_master=$INFO_master
  [ "$INFO_role" != master ] || present_master=$MY_ADDRESS
  if [ "$RECORDED_replid $RECORDED_role $RECORDED_master" != "$INFO_replid $INFO_role $present_master" ]; then
    # First that the old epoch holds no longer: finding the new one may take longer than this probe may.
    RECORDED_epoch=''
    write_state ''
  elif is_number "$RECORDED_epoch" && is_number "$RECORDED_at" && [ $(($(date +%s) - RECORDED_at)) -lt 10 ]; then
    return
  fi
  epoch=$RECORDED_epoch
  judge "$(ask_all "$SENTINELS" '')"
  if [ "$VERDICT" = agreed ] && [ "$NAMED" = "$present_master" ]; then
    epoch=$EPOCH
  fi
  write_state "$epoch"
}

parse_info "$(printf 'INFO replication\nINFO persistence\nCONFIG GET port\nCONFIG GET replica-priority\n' |
  cli "$PASSWORD" 2 -s "$SOCKET" 2>/dev/null)"

[ -n "$INFO_role" ] || not_ready "redis-server does not answer"
if [ "$INFO_role" = slave ] && { [ "$INFO_syncing" = 1 ] || [ "$INFO_rewriting" = 1 ]; }; then
  [ -e "$UNSYNCED" ] || write_file "$UNSYNCED" stale
fi
if [ "$INFO_role" = slave ] && [ "$INFO_syncing" = 1 ]; then
  if [ "$INFO_priority" != 0 ]; then
    empty_file "$PRIORITY_LOWERED"
    own CONFIG SET replica-priority 0 >/dev/null
  fi
  not_ready "a full sync from $(name_of "$INFO_master") is in progress"
fi
[ "$INFO_loading" = 0 ] || not_ready "loading the data"
[ "$INFO_port" = "$REDIS_PORT" ] || not_ready "the port is closed"
[ ! -e "$PROMOTING" ] || not_ready "the promotion of this pod is not decided yet"
if [ "$INFO_role" = slave ] && [ "$INFO_link" != up ]; then
  not_ready "the link to the master $(name_of "$INFO_master") is down"
fi

# The order matters: a pod that Sentinel may promote is one that knows that it has data.
[ -e "$INITIALISED" ] || empty_file "$INITIALISED" 2>/dev/null
if [ -e "$UNSYNCED" ] && [ "$INFO_rewriting" != 1 ] && [ "$INFO_rewrite_status" = ok ]; then
  rm -f "$UNSYNCED"
fi
if [ -e "$PRIORITY_LOWERED" ] && [ -e "$INITIALISED" ]; then
  [ "$INFO_priority" != 0 ] || own CONFIG SET replica-priority 100 >/dev/null
  rm -f "$PRIORITY_LOWERED"
fi
record 2>/dev/null
exit 0
