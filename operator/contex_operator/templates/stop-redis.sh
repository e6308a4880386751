#!/bin/sh
# Takes leave: the preStop hook of a data pod. SIGTERM reaches the server only after this has ended.
#
# A replica just goes. A master hands over first; it never votes and promotes nobody itself:
#   1. For 5 s it watches its own role: the operator begins its faster switchover within 3 s of the deletion.
#   2. Then it moves the master by itself. Gate: a majority of sentinels names this pod and none shows it down, a
#      replica is in sync. The target gets priority 1, and the executing sentinel has to have seen that. CLIENT PAUSE,
#      shorter than down-after; equal offsets; FAILOVER TO the target; UNPAUSE; SENTINEL FAILOVER on the sentinel that
#      clients ask last; until a majority names the target; then the clients here are sent away.
# Whoever ends this script in the middle does no harm: the pause expires by itself, and after FAILOVER the only master
# is the one with priority 1, which Sentinel itself would choose.
# Where nobody can take over it ends, and the pod's log says why.
set -u
umask 077
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${CONTEX_DIR:-/opt/contex-redis}/lib.sh"
# shellcheck source=/dev/null
. "$CONTEX_DIR/settings"
MODE=${MODE:-standalone}
MASTER_NAME=${MASTER_NAME:-mymaster}
DOWN_AFTER_MS=${DOWN_AFTER_MS:-3000}

# In hundredths of a second since the beginning. The grace period is 60 s, and the server needs its share of it.
OPERATOR_CS=500                           # so long the operator is waited for
SWAPPED_CS=300                            # so long it has for telling the sentinels of a swap
ALONE_CS=200                              # with nobody there so long, nobody comes
IMPOSSIBLE_CS=${STOP_IMPOSSIBLE_CS:-2000} # so long what is missing for a move is waited for
OVER_CS=4000                              # so long a move may take that has begun
LOG_TO=${LOG_TO:-/proc/1/fd/1}            # the container's log: a hook's own output is shown to nobody

BEGAN=$(uptime_cs)
COMPANY_AT=$BEGAN # when another data pod was seen last
SLAVE_AT=         # since when this pod is a replica
TARGET=           # who takes over
EXECUTOR=         # the sentinel that is told to fail over
SPENT=            # sentinels that were told and did not
PAUSED=           # yes while our CLIENT PAUSE may be in force
RANKED=           # pods whose priority we have changed
KEEP_RANKS=       # yes while these have to outlive this script
WHY=              # what the move waits for, or why there was none

passed() { [ $(($(uptime_cs) - $1)) -ge "$2" ]; }
node() { node_address=$1 && shift && cli "$PASSWORD" 1 -h "$node_address" -p "$REDIS_PORT" "$@" 2>/dev/null </dev/null; }
sentinel() { sentinel_address=$1 && shift && cli "$SENTINEL_PASSWORD" 1 -h "$sentinel_address" -p "$SENTINEL_PORT" "$@" 2>&1 </dev/null; }

# because SENTENCE: why not now. Always false.
because() {
  if [ "$1" != "$WHY" ]; then
    WHY=$1
    log "handing over: $WHY"
  fi
  return 1
}

# leave: on every way out, what was set for the time of the move is taken back. But between FAILOVER and the sentinels'
# agreement the priority is what makes Sentinel choose the one that is master already.
leave() {
  unpause
  [ -n "$KEEP_RANKS" ] || unrank
}

unrank() {
  for ranked in $RANKED; do
    node "$ranked" CONFIG SET replica-priority 100 >/dev/null
  done
  RANKED=
}

# rank ADDRESS PRIORITY: the lower, the sooner Sentinel chooses it.
rank() {
  is_in "$1" "$RANKED" || RANKED="$RANKED $1"
  [ "$(node "$1" CONFIG SET replica-priority "$2")" = OK ]
}

unpause() {
  [ -z "$PAUSED" ] || own CLIENT UNPAUSE >/dev/null
  PAUSED=
}

look() {
  read_members data
  ANSWERS=$(ask_all "$SENTINELS" "$OTHERS")
  judge "$ANSWERS"
}

# --- the gate --------------------------------------------------------------------------------------------------

# is_calm: the sentinels name this pod, and none of them is about to do something.
is_calm() {
  [ "$VERDICT" = agreed ] || because "$VOTES" || return 1
  [ "$NAMED" = "$MY_ADDRESS" ] || because "$VOTES, which is not this pod" || return 1
  nobody_acts
}

# nobody_acts: no sentinel that answered shows its master as anything but well.
nobody_acts() {
  while read -r kind who status _ _ _ flags _; do
    [ "$kind.$status" = sentinel.ok ] || continue
    [ "$flags" = master ] || because "sentinel $(name_of "$who") shows the master as $flags" || return 1
  done <<LINES
$ANSWERS
LINES
}

# version_of TEXT: 7.0.15 as a number.
version_of() {
  version_ifs=$IFS
  IFS=.
  # shellcheck disable=SC2086
  set -- $1
  IFS=$version_ifs
  if is_number "${1:-}" && is_number "${2:-}" && is_number "${3:-}"; then
    printf '%s' "$(($1 * 1000000 + $2 * 1000 + $3))"
  else
    printf 0
  fi
}

# pick_target: the newest version first, then the most data, among the replicas in sync.
pick_target() {
  own_role
  [ -z "$INFO_failover" ] || [ "$INFO_failover" = no-failover ] || because "a FAILOVER is under way here" || return 1
  my_offset=$INFO_offset my_replicas=$INFO_replicas picked='' best_version=-1 best_offset=-1 faults=
  for candidate in $OTHERS; do
    fault='is not connected'
    while read -r address port state offset lag; do
      [ "$address $port" = "$candidate $REDIS_PORT" ] || continue
      fault=
      [ "$state" = online ] || fault="is not in sync ($state)"
      is_number "$lag" && [ "$lag" -le 1 ] || fault="has not answered for $lag s"
      [ $((my_offset - offset)) -le 1048576 ] || fault="is $((my_offset - offset)) bytes behind"
    done <<LINES
$my_replicas
LINES
    if [ -z "$fault" ]; then
      parse_info "$(printf 'INFO server\nINFO replication\n' | cli "$PASSWORD" 1 -h "$candidate" -p "$REDIS_PORT" 2>/dev/null)"
      if [ "$INFO_role $INFO_master $INFO_link" != "slave $MY_ADDRESS up" ] || [ "$INFO_syncing" != 0 ]; then
        fault="is not in sync by its own word"
      elif [ "$INFO_promotable" = 0 ]; then
        fault="must not be promoted (priority 0)"
      else
        version=$(version_of "$INFO_version")
        if [ "$version" -gt "$best_version" ] || { [ "$version" -eq "$best_version" ] && [ "$INFO_applied" -gt "$best_offset" ]; }; then
          picked=$candidate best_version=$version best_offset=$INFO_applied
        fi
      fi
    fi
    [ -z "$fault" ] || faults="$faults; $(name_of "$candidate") $fault"
  done
  [ -n "$picked" ] || because "no replica can take over${faults:-: there is none}" || return 1
  [ "$picked" = "$TARGET" ] || unrank
  TARGET=$picked
}

# pick_executor: the sentinel that clients ask last, among those that answer; on it alone the failover is commanded.
pick_executor() {
  EXECUTOR='' fault="no sentinel answers"
  last_first=
  for who in $SENTINELS; do last_first="$who $last_first"; done
  for who in $last_first; do
    ! is_in "$who" "$SPENT" || continue
    case $(sentinel "$who" SENTINEL CKQUORUM "$MASTER_NAME") in
      OK*) ;;
      *) fault="sentinel $(name_of "$who") sees no quorum" && continue ;;
    esac
    case $(sentinel "$who" INFO sentinel) in
      *sentinel_tilt:0*) EXECUTOR=$who && return 0 ;;
      *) fault="sentinel $(name_of "$who") is in TILT" ;;
    esac
  done
  because "$fault"
}

# is_preferred: the executing sentinel would choose the target and nobody else, by the priorities that it has seen.
is_preferred() {
  sentinel "$EXECUTOR" SENTINEL REPLICAS "$MASTER_NAME" | {
    target_priority=0 other_priority=0 ip='' flags=''
    while IFS= read -r key && IFS= read -r value; do
      case $key in
        ip) ip=$value ;;
        flags) flags=$value ;;
        slave-priority)
          if [ "$ip" = "$TARGET" ]; then
            [ "$flags" != slave ] || target_priority=$value # a target that is master already is shown so too
          elif [ "$value" != 0 ] && { [ "$other_priority" = 0 ] || [ "$value" -lt "$other_priority" ]; }; then
            other_priority=$value
          fi
          ;;
      esac
    done
    [ "$target_priority" != 0 ] && { [ "$other_priority" = 0 ] || [ "$target_priority" -lt "$other_priority" ]; }
  }
}

# prefer: until the executing sentinel has seen it; it asks a replica once in 10 s. Ends early where the role changes.
# A target that is master already does not say its priority any more: then it is the others who step back. Never to 0,
# which would leave nobody if all of this ended here.
prefer() {
  own_role
  prefer_role=$INFO_role
  for other in $OTHERS; do
    [ "$other" != "$TARGET" ] || continue
    parse_info "$(node "$other" INFO replication)"
    case $prefer_role.$INFO_promotable in
      *.0) ;;
      master.1) rank "$other" 100 ;;
      slave.*) rank "$other" 200 ;;
    esac
  done
  if [ "$prefer_role" = master ]; then
    rank "$TARGET" 1 || because "$(name_of "$TARGET") does not take its priority" || return 1
  else
    KEEP_RANKS=yes
  fi
  prefer_from=$(uptime_cs)
  until is_preferred; do
    own_role
    [ "$INFO_role" = "$prefer_role" ] || return 1
    ! passed "$prefer_from" 1200 || because "sentinel $(name_of "$EXECUTOR") does not see the priority of $(name_of "$TARGET")" || return 1
    pause 0.2
  done
}

# --- the move --------------------------------------------------------------------------------------------------

# swap: the writes stop, the target has all of them, and the two change roles. False where nothing has changed.
swap() {
  own_role
  [ "$INFO_role" = master ] || return 1
  pause_ms=$((DOWN_AFTER_MS - 500))
  [ "$pause_ms" -le 3000 ] || pause_ms=3000
  paused_at=$(uptime_cs)
  PAUSED=yes
  [ "$(own CLIENT PAUSE "$pause_ms" WRITE)" = OK ] || { unpause && because "the writes cannot be paused"; } || return 1
  own_role
  goal=$INFO_offset
  while :; do
    parse_info "$(node "$TARGET" INFO replication)"
    ! is_number "$INFO_applied" || [ "$INFO_applied" -lt "$goal" ] || break
    ! passed "$paused_at" 50 || break
    pause 0.02
  done
  if passed "$paused_at" 50; then
    unpause
    because "$(name_of "$TARGET") has not caught up within 0.5 s"
    return 1
  fi
  KEEP_RANKS=yes
  if [ "$(own FAILOVER TO "$TARGET" "$REDIS_PORT" TIMEOUT 1 FORCE)" != OK ]; then
    KEEP_RANKS=
    unpause
    because "redis-server refuses FAILOVER"
    return 1
  fi
  while :; do
    own_role
    swap_role=$INFO_role
    parse_info "$(node "$TARGET" INFO replication)"
    if [ "$swap_role $INFO_role" = "slave master" ]; then
      unpause
      return 0
    fi
    ! passed "$paused_at" 150 || break
    pause 0.02
  done
  own FAILOVER ABORT >/dev/null
  own_role
  if [ "$INFO_role" = master ]; then # nobody was told of the target: if it is master too, it has taken nothing
    parse_info "$(node "$TARGET" INFO replication)"
    [ "$INFO_role" != master ] || node "$TARGET" REPLICAOF "$MY_ADDRESS" "$REDIS_PORT" >/dev/null
    KEEP_RANKS=
  fi
  unpause
  because "$(name_of "$TARGET") did not take over within 1.5 s"
}

# tell_sentinels: the swap is done, and they follow. False where they do not in time; the priority stays then.
tell_sentinels() {
  told_at=
  while :; do
    ANSWERS=$(ask_all "$SENTINELS" '')
    judge "$ANSWERS"
    [ "$VERDICT $NAMED" != "agreed $TARGET" ] || return 0
    if [ "$VERDICT" = agreed ] && [ "$NAMED" != "$MY_ADDRESS" ]; then
      KEEP_RANKS=
      because "$VOTES, and not $(name_of "$TARGET")"
      return 1
    fi
    if passed "$BEGAN" "$OVER_CS"; then
      because "$(name_of "$TARGET") is master, but $VOTES"
      return 1
    fi
    if [ -n "$told_at" ] && [ -z "$FAILOVER" ] && passed "$told_at" 300; then
      SPENT="$SPENT $EXECUTOR" told_at=
    fi
    # Where Sentinel has begun by itself, because of the role that it did not expect, it chooses by the priority too.
    if [ -z "$told_at" ] && nobody_acts && { [ -n "$EXECUTOR" ] || pick_executor; } && is_preferred; then
      case $(sentinel "$EXECUTOR" SENTINEL FAILOVER "$MASTER_NAME") in
        OK* | INPROG*) told_at=$(uptime_cs) ;;
        NOGOODSLAVE*) ;; # not yet
        *) SPENT="$SPENT $EXECUTOR" ;;
      esac
    fi
    if is_in "$EXECUTOR" "$SPENT"; then EXECUTOR=; fi
    pause 0.1
  done
}

# others_follow: whoever else is there is linked to the target, which may refuse writes while it has no replica.
others_follow() {
  for other in $OTHERS; do
    [ "$other" != "$TARGET" ] || continue
    parse_info "$(node "$other" INFO replication)"
    [ -z "$INFO_role" ] || [ "$INFO_master $INFO_link" = "$TARGET up" ] || return 1
  done
}

# settle: the sentinels name the target. What is left is for those who look on.
settle() {
  log "handed over to $(name_of "$TARGET"): $VOTES"
  KEEP_RANKS=
  own CLIENT KILL TYPE normal >/dev/null
  own_role
  write_state "$EPOCH" 2>/dev/null
  settled_from=$(uptime_cs)
  while :; do
    judge "$(ask_all "$SENTINELS" '')"
    [ "$VERDICT $NAMED$FAILOVER" != "agreed $TARGET" ] || ! others_follow || break
    ! passed "$settled_from" 500 || break
    pause 0.2
    own CLIENT KILL TYPE normal >/dev/null # a Service may have led them back to here
  done
}

# hand_over: this pod is master, and the operator has not moved it.
hand_over() {
  look
  is_calm && pick_target && pick_executor && prefer && swap && tell_sentinels && settle
}

# follow_up: this pod is a replica by now. Of whom, and do the sentinels know? The operator may have died in between.
follow_up() {
  TARGET=$INFO_master
  read_members data
  is_in "$TARGET" "$OTHERS" || because "this pod has become a replica of $TARGET, which is no member" || return 1
  judge "$(ask_all "$SENTINELS" '')"
  if [ "$VERDICT $NAMED" = "agreed $TARGET" ]; then
    settle
    return
  fi
  SLAVE_AT=${SLAVE_AT:-$(uptime_cs)}
  passed "$SLAVE_AT" "$SWAPPED_CS" || return 1
  [ "$VERDICT $NAMED" = "agreed $MY_ADDRESS" ] || because "this pod follows $(name_of "$TARGET"), but $VOTES" || return 1
  parse_info "$(node "$TARGET" INFO replication)"
  [ "$INFO_role" = master ] || because "this pod follows $(name_of "$TARGET"), which is no master" || return 1
  pick_executor && prefer && tell_sentinels && settle
}

# step: one look at what this pod is, and what follows from it. True when there is nothing left to do.
step() {
  own_role
  [ -z "$INFO_replicas" ] || COMPANY_AT=$(uptime_cs)
  case $INFO_role in
    slave) follow_up ;;
    master)
      SLAVE_AT=
      if passed "$BEGAN" "$OPERATOR_CS"; then
        hand_over
      else
        return 1
      fi
      ;;
    *) because "redis-server does not answer" ;;
  esac
}

# is_alone: no replica is connected, and no other data pod is there.
is_alone() {
  passed "$COMPANY_AT" "$ALONE_CS" || return 1
  look
  while read -r kind _ status _; do
    [ "$kind.$status" != data.ok ] || return 1
  done <<LINES
$ANSWERS
LINES
}

# --- the order of things ---------------------------------------------------------------------------------------

# (A redirection of exec that fails would end the shell.)
if (: >>"$LOG_TO") 2>/dev/null; then
  exec >>"$LOG_TO"
fi
[ "$MODE" = sentinel ] || exit 0
prepare_cli
read_members data
own_role
[ "$INFO_role" = master ] && [ ! -e "$PROMOTING" ] && [ -n "$MY_ADDRESS" ] || exit 0
trap leave EXIT
trap 'exit 1' TERM INT
log "leaving, and this pod is master: waiting for the operator to move it"
until step; do
  if is_alone; then
    log "leaving as master: no other data pod is there to take over"
    exit 0
  fi
  if passed "$BEGAN" "$IMPOSSIBLE_CS"; then
    own_role
    log "leaving as ${INFO_role:-it is}, not handed over: $WHY"
    exit 1
  fi
  pause 0.25
done
