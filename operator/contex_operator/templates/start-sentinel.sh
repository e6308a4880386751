#!/bin/sh
# Starts a sentinel, and is its parent: the first process of a sentinel pod.
#
# A sentinel's memory (whom it monitors, the epochs, whom it knows) is its own file in DATA_DIR, kept as long as every
# address in it is a present member's. Without memory it learns from the other sentinels, where a majority of all
# names one member; else it monitors nothing and goes on asking them until they do or the operator tells it
# (SENTINEL MONITOR). It never guesses a master: not by ordinal, not by age.
# What it promised in elections is kept in any case: a sentinel that forgets can vote twice in one epoch.
set -u
umask 077
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${CONTEX_DIR:-/opt/contex-redis}/lib.sh"
# shellcheck source=/dev/null
. "$CONTEX_DIR/settings"
trap forward_term TERM INT
MASTER_NAME=${MASTER_NAME:-mymaster}
DOWN_AFTER_MS=${DOWN_AFTER_MS:-3000}
FAILOVER_TIMEOUT_MS=${FAILOVER_TIMEOUT_MS:-10000}
PARALLEL_SYNCS=${PARALLEL_SYNCS:-1}

CONF=$DATA_DIR/sentinel.conf
MASTER=        # the address to monitor, empty = none
CONFIG_EPOCH=0
CURRENT_EPOCH=0
LEADER_EPOCH=0
KNOWN=         # lines known-replica and known-sentinel

# --- memory ----------------------------------------------------------------------------------------------------

forget() { MASTER='' CONFIG_EPOCH=0 KNOWN=''; }

# read_memory FILE: sets the above by the file. False, with WHY set, where its content must not be used. The epochs
# it promised are read in any case.
read_memory() {
  WHY='' memory_id='' memory_ip='' memory_epoch='' memory_names=''
  while read -r word key first second third fourth more || [ -n "$word" ]; do
    if [ "$word" = sentinel ]; then
      case $key in
        myid) memory_id=$first ;;
        announce-ip) memory_ip=${first#\"} memory_ip=${memory_ip%\"} ;;
        current-epoch) ! is_number "$first" || CURRENT_EPOCH=$first memory_epoch=$first ;;
        leader-epoch) ! is_number "$second" || LEADER_EPOCH=$second ;;
        config-epoch) if is_number "$second"; then CONFIG_EPOCH=$second memory_names="$memory_names config"; fi ;;
        monitor)
          [ "$first" = "$MASTER_NAME" ] || WHY="it monitors $first, not $MASTER_NAME"
          [ -z "$MASTER" ] || WHY="it monitors two masters"
          MASTER=$second
          is_in "$second" "$DATA" && [ "$third" = "$REDIS_PORT" ] && is_number "$fourth" ||
            WHY="its master $second:$third is no member"
          ;;
        known-replica)
          if is_in "$second" "$DATA" && [ "$third" = "$REDIS_PORT" ]; then
            KNOWN="${KNOWN}sentinel known-replica $MASTER_NAME $second $third
"
          else
            WHY="its replica $second:$third is no member"
          fi
          ;;
        known-sentinel)
          if is_in "$second $fourth" "$SENTINEL_IDS" && [ "$third" = "$SENTINEL_PORT" ]; then
            KNOWN="${KNOWN}sentinel known-sentinel $MASTER_NAME $second $third $fourth
"
          else
            WHY="its sentinel $second:$third ($fourth) is no member"
          fi
          ;;
      esac
    fi
    word=$more word=
  done <"$1"
  [ "$memory_id" = "$MY_ID" ] || WHY="it is of another sentinel (myid ${memory_id:-missing})"
  [ "$memory_ip" = "$MY_ADDRESS" ] || WHY="its address was ${memory_ip:-missing}, which is not this pod's any more"
  if [ -n "$MASTER" ] && { [ -z "$memory_names" ] || [ -z "$memory_epoch" ]; }; then
    WHY="it is incomplete"
  fi
  [ -z "$WHY" ]
}

# recall: from the old file, as far as it can be used.
recall() {
  forget
  [ -s "$CONF" ] || return 0
  if ! read_memory "$CONF"; then
    log "the old sentinel.conf is not used: $WHY"
    forget
  fi
}

# learn: from the other sentinels. True where a majority of all of them, not counting this one, agrees on a member.
learn() {
  read_members sentinel
  [ -n "$MY_ADDRESS" ] || return 1
  judge "$(ask_all "$SENTINELS" '')"
  [ "$VERDICT" = agreed ] && is_in "$NAMED" "$DATA" || return 1
  MASTER=$NAMED CONFIG_EPOCH=$EPOCH KNOWN=''
  [ "$CURRENT_EPOCH" -ge "$EPOCH" ] || CURRENT_EPOCH=$EPOCH
  [ "$LEADER_EPOCH" -ge "$EPOCH" ] || LEADER_EPOCH=$EPOCH
}

# --- the server ------------------------------------------------------------------------------------------------

compose() {
  {
    printf 'port %s\nbind %s\ndir "%s"\n' "$SENTINEL_PORT" "$BIND" "$DATA_DIR"
    printf 'daemonize no\nlogfile ""\nprotected-mode no\n'
    printf 'sentinel myid %s\nsentinel announce-ip "%s"\nsentinel announce-port %s\n' "$MY_ID" "$MY_ADDRESS" "$SENTINEL_PORT"
    if [ -n "$SENTINEL_PASSWORD" ]; then
      printf 'requirepass %s\nsentinel sentinel-pass %s\n' "$(quoted "$SENTINEL_PASSWORD")" "$(quoted "$SENTINEL_PASSWORD")"
    fi
    if [ -n "$MASTER" ]; then
      printf 'sentinel monitor %s %s %s %s\n' "$MASTER_NAME" "$MASTER" "$REDIS_PORT" "${QUORUM:-$MAJORITY}"
      printf 'sentinel down-after-milliseconds %s %s\n' "$MASTER_NAME" "$DOWN_AFTER_MS"
      printf 'sentinel failover-timeout %s %s\n' "$MASTER_NAME" "$FAILOVER_TIMEOUT_MS"
      printf 'sentinel parallel-syncs %s %s\n' "$MASTER_NAME" "$PARALLEL_SYNCS"
      if [ -n "$PASSWORD" ]; then
        printf 'sentinel auth-pass %s %s\n' "$MASTER_NAME" "$(quoted "$PASSWORD")"
      fi
      printf 'sentinel config-epoch %s %s\n' "$MASTER_NAME" "$CONFIG_EPOCH"
      printf 'sentinel leader-epoch %s %s\n' "$MASTER_NAME" "$LEADER_EPOCH"
      printf '%s' "$KNOWN"
    fi
    printf 'sentinel current-epoch %s\n' "$CURRENT_EPOCH"
  } >"$CONF.new" || fail "$DATA_DIR cannot be written to"
  mv "$CONF.new" "$CONF" || fail "$DATA_DIR cannot be written to"
}

launch() {
  compose
  "$SERVER" "$CONF" --sentinel </dev/null &
  CHILD=$!
}

# wait_up: false when it has ended instead.
wait_up() {
  while child_lives; do
    [ -z "$(own_sentinel PING)" ] || return 0
    pause 0.1
  done
  return 1
}

own_sentinel() { cli "$SENTINEL_PASSWORD" 1 -h "$(loopback)" -p "$SENTINEL_PORT" "$@" 2>/dev/null </dev/null; }

# own_status: ok (it monitors), bare or silent.
own_status() {
  read -r _ _ own_status_word _ <<EOF
$(ask_sentinel "$(loopback)")
EOF
  printf '%s' "$own_status_word"
}

# --- the order of things ---------------------------------------------------------------------------------------

SERVER=$(program redis-server valkey-server) || fail "neither redis-server nor valkey-server is in PATH ($PATH)"
prepare_cli
mkdir -p "$RUN_DIR"
wait_for_my_line sentinel
recall
if [ -n "$MASTER" ]; then
  say "monitoring $(name_of "$MASTER"), as remembered (epoch $CONFIG_EPOCH)"
elif learn; then
  say "monitoring $(name_of "$MASTER"): $VOTES"
fi
launch
if ! wait_up; then
  [ -n "$MASTER" ] || stay_parent
  # Whatever is wrong with what was remembered, it must not keep the sentinel down for good.
  child_ended
  log "the sentinel does not start with what it remembered; starting without"
  forget
  learn || :
  launch
  wait_up || stay_parent
fi
while [ -z "$MASTER" ]; do
  child_lives || stay_parent
  status=$(own_status)
  if [ "$status" = ok ]; then
    say "monitoring: told so by command"
    break
  fi
  if [ "$status" = bare ] && learn; then
    say "monitoring $(name_of "$MASTER"): $VOTES"
    stop_child
    launch
    break
  fi
  [ "$status" != bare ] || say "waiting, monitoring nothing: $VOTES"
  pause 1
done
stay_parent
