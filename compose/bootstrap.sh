#!/bin/sh
# The first start of the set, once: no data container becomes master by itself, and no sentinel guesses one. What the
# operator does on Kubernetes, with the same proof that there is nothing to lose: every data container and every
# sentinel answers, each volume is fresh and holds no key, nobody is master, no sentinel monitors anything. Where a
# majority of the sentinels remembers a master (any later start) there is nothing to do.
set -u
# shellcheck source=/dev/null
. "${CONTEX_DIR:-/opt/contex-redis}/lib.sh"
# shellcheck source=/dev/null
. "$CONTEX_DIR/settings"
until [ -s "$AUTH_DIR/password" ] && [ -s "$AUTH_DIR/sentinel-password" ]; do sleep 0.2; done
prepare_cli
read_members data
CHOSEN=${OTHERS# }
CHOSEN=${CHOSEN%% *}

data() { cli "$PASSWORD" 3 -h "$1" -p "$REDIS_PORT"; }

# facts ADDRESS: sets ROLE, MASTER_OF, LINK, HOLDING and KEYS; false where it does not answer.
facts() {
  ROLE='' MASTER_OF='' LINK='' HOLDING='' KEYS=0
  info=$(printf 'INFO server\nINFO replication\nINFO keyspace\n' | data "$1" 2>/dev/null) || return 1
  while IFS= read -r line; do
    line=${line%"$CR"}
    case $line in
      role:*) ROLE=${line#*:} ;;
      master_host:*) MASTER_OF=${line#*:} ;;
      master_link_status:*) LINK=${line#*:} ;;
      config_file:*) HOLDING=${line%/redis.conf} HOLDING=${HOLDING##*/} ;;
      db[0-9]*:keys=*) KEYS=1 ;;
    esac
  done <<EOF
$info
EOF
  [ -n "$ROLE" ]
}

# obstacle: sets OBSTACLE to what speaks against a first start, empty where nothing does. What this very script may
# have done before it was broken off is no obstacle: the chosen one is master, and sentinels monitor it.
obstacle() {
  OBSTACLE=
  for address in $OTHERS; do
    if ! facts "$address"; then
      OBSTACLE="$(name_of "$address") does not answer"
    elif [ "$HOLDING" != fresh ] || [ "$KEYS" != 0 ]; then
      OBSTACLE="the volume of $(name_of "$address") is not fresh, and too few sentinels remember who was master; choose the newest copy and tell each sentinel: SENTINEL MONITOR $MASTER_NAME <address> $REDIS_PORT $QUORUM"
    elif [ "$ROLE" = master ] && [ "$address" != "$CHOSEN" ]; then
      OBSTACLE="$(name_of "$address") is master already"
    fi
    [ -z "$OBSTACLE" ] || return 0
  done
  while read -r kind who status named _; do
    [ "$kind" = sentinel ] || continue
    if [ "$status" != bare ] && { [ "$status" != ok ] || [ "$named" != "$CHOSEN" ]; }; then
      OBSTACLE="$(name_of "$who") does not answer, or names another master"
    fi
  done <<EOF
$ANSWERS
EOF
}

# promote: makes the chosen one master and the others its replicas; true when all of them are in sync.
promote() {
  facts "$CHOSEN" || return 1
  [ "$ROLE" = master ] || echo 'REPLICAOF NO ONE' | data "$CHOSEN" >/dev/null || return 1
  synced=0 wanted=0
  for address in $OTHERS; do
    [ "$address" != "$CHOSEN" ] || continue
    wanted=$((wanted + 1))
    facts "$address" || return 1
    if [ "$MASTER_OF" != "$CHOSEN" ]; then
      echo "REPLICAOF $CHOSEN $REDIS_PORT" | data "$address" >/dev/null
    elif [ "$LINK" = up ]; then
      synced=$((synced + 1))
    fi
  done
  [ "$synced" = "$wanted" ]
}

# tell ADDRESS: what a sentinel has to know; one that monitors already refuses the first line and takes the others.
tell() {
  cli "$SENTINEL_PASSWORD" 3 -h "$1" -p "$SENTINEL_PORT" >/dev/null 2>&1 <<EOF
SENTINEL MONITOR $MASTER_NAME $CHOSEN $REDIS_PORT $QUORUM
SENTINEL SET $MASTER_NAME auth-pass $PASSWORD
SENTINEL SET $MASTER_NAME down-after-milliseconds $DOWN_AFTER_MS
SENTINEL SET $MASTER_NAME failover-timeout $FAILOVER_TIMEOUT_MS
SENTINEL SET $MASTER_NAME parallel-syncs $PARALLEL_SYNCS
EOF
}

while :; do
  ANSWERS=$(ask_all "$SENTINELS" '')
  judge "$ANSWERS"
  if [ "$VERDICT" = agreed ]; then
    log "$VOTES"
    # Told to Contex, which waits for it.
    empty_file "$AUTH_DIR/bootstrapped"
    exit 0
  fi
  obstacle
  if [ -n "$OBSTACLE" ]; then
    [ "$OBSTACLE" = "$LAST_SAID" ] || log "waiting: $OBSTACLE"
    LAST_SAID=$OBSTACLE
  elif promote; then
    log "the first start: $(name_of "$CHOSEN") is master"
    for address in $SENTINELS; do
      tell "$address"
    done
  fi
  sleep 1
done
