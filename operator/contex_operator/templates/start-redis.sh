#!/bin/sh
# Starts Redis and decides what it may be. The first process of a data pod, and redis-server's parent.
#
# A data pod never becomes writable by itself. Redis starts with its TCP port closed, as a replica of nobody that
# Sentinel must not choose (priority 0), and loads. Then this gate asks the sentinels and the other data pods, over
# and over, until one of these holds:
#   - a majority of sentinels names another member: it follows that one;
#   - a majority names this pod, its data are intact, and every other data pod was asked, twice: it becomes master;
#   - somebody with more knowledge (the operator, Sentinel) has made it a master or a replica by command.
# Named, but empty or damaged: the port stays closed, so that Sentinel sees it down and chooses another.
# Nobody to ask: the port opens, read-only, and it waits; never master on a timer.
#
# Files in the data directory besides Redis' own:
#   contex-initialised   this directory has held a complete data set
#   contex-unsynced      it does not now: fresh (never did), emptied (damaged data were set aside) or stale (what
#                        this pod last held in memory had not reached the append-only file yet)
#   contex-state         what ready-redis.sh recorded last: replication id, offset, role, master, epoch
#   set-aside/           damaged data
# The path of redis.conf tells everybody who asks INFO what the directory held when this process began:
# RUN_DIR/<holding>/redis.conf with fresh, emptied, intact or intact-e<epoch>-<master|replica>.
set -u
umask 077
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "${CONTEX_DIR:-/opt/contex-redis}/lib.sh"
# shellcheck source=/dev/null
. "$CONTEX_DIR/settings"
trap forward_term TERM INT
MODE=${MODE:-standalone}
MASTER_NAME=${MASTER_NAME:-mymaster}
FAILOVER_TIMEOUT_MS=${FAILOVER_TIMEOUT_MS:-10000}

NOBODY=127.0.0.1 # with port 1: nothing listens there
ASIDE=$DATA_DIR/set-aside

HOLDING=      # fresh, emptied, intact or damaged
STALE=        # yes: intact, but older than what this pod last held in memory
PORT_OPEN=    # yes while the TCP port is open
LIVE_PORT=    # yes where CONFIG SET port works (Redis 7.0 and later)
FENCE=        # the min-replicas-to-write to restore, while ours is in force

# --- the data directory ----------------------------------------------------------------------------------------

any_file() {
  for any_path in "$@"; do
    [ ! -e "$any_path" ] || return 0
  done
  return 1
}
has_aof() { any_file "$DATA_DIR"/*/*.manifest "$DATA_DIR"/*.aof; }
has_rdb() { any_file "$DATA_DIR/dump.rdb"; }

# Sets HOLDING and STALE by what lies in the directory, before anything was loaded, and RECORDED_… by the state file.
look_at_data() {
  flag=
  [ ! -e "$UNSYNCED" ] || IFS= read -r flag <"$UNSYNCED" || :
  if [ -e "$UNSYNCED" ] && [ "$flag" != stale ]; then
    # A mark that cannot be read (a machine that lost power, perhaps) says the least good of what it may have said.
    case $flag in fresh | emptied) HOLDING=$flag ;; *) HOLDING=emptied STALE=yes ;; esac
  elif has_aof; then
    HOLDING=intact
    [ "$flag" != stale ] || STALE=yes
  elif [ -e "$INITIALISED" ] && [ "$MODE" = sentinel ]; then
    HOLDING=damaged
    log "the data directory held a data set once, and its append-only file is gone"
  elif has_rdb; then
    HOLDING=intact
  else
    HOLDING=fresh
    write_file "$UNSYNCED" fresh || fail "$DATA_DIR cannot be written to"
  fi
  read_state
}

# What the path of redis.conf says.
holding_path() {
  holding_path=$HOLDING
  if [ "$HOLDING" = intact ] && is_number "$RECORDED_epoch"; then
    case $RECORDED_role in
      master) holding_path=intact-e$RECORDED_epoch-master ;;
      slave) holding_path=intact-e$RECORDED_epoch-replica ;;
    esac
  fi
  printf '%s' "$holding_path"
}

# Moves what could not be loaded into set-aside/. An earlier copy gives way, unless what lies here now never was a
# complete data set.
set_data_aside() {
  keep_earlier=
  if [ -e "$UNSYNCED" ] && [ -d "$ASIDE" ]; then
    keep_earlier=yes
  fi
  write_file "$UNSYNCED" emptied || fail "$DATA_DIR cannot be written to"
  rm -rf "$ASIDE.new"
  mkdir "$ASIDE.new" || fail "$DATA_DIR cannot be written to"
  for aside_path in "$DATA_DIR"/*; do
    case ${aside_path##*/} in contex-* | set-aside | set-aside.new | lost+found) continue ;; esac
    [ -e "$aside_path" ] || continue
    mv "$aside_path" "$ASIDE.new/" || fail "$aside_path cannot be moved to $ASIDE"
  done
  if [ -n "$keep_earlier" ]; then
    rm -rf "$ASIDE.new"
  else
    rm -rf "$ASIDE"
    mv "$ASIDE.new" "$ASIDE" || fail "$ASIDE cannot be written to"
  fi
  HOLDING=emptied STALE=''
}

# --- the server ------------------------------------------------------------------------------------------------

# compose PORT EXTRA-LINE: writes redis.conf and prints its path. The mounted part comes first: what is decided here
# wins over it.
compose() {
  compose_dir=$RUN_DIR/$(holding_path)
  mkdir -p "$compose_dir" || return 1
  {
    printf 'include "%s/redis.conf"\n' "$CONTEX_DIR"
    printf 'dir "%s"\nport %s\nbind %s\n' "$DATA_DIR" "$1" "$BIND"
    printf 'unixsocket "%s"\nunixsocketperm 700\ndaemonize no\nlogfile ""\n' "$SOCKET"
    if [ -n "$MY_ADDRESS" ]; then
      printf 'replica-announce-ip %s\nreplica-announce-port %s\n' "$MY_ADDRESS" "$REDIS_PORT"
    fi
    if [ -n "$PASSWORD" ]; then
      printf 'requirepass %s\nmasterauth %s\n' "$(quoted "$PASSWORD")" "$(quoted "$PASSWORD")"
    else
      printf 'protected-mode no\n'
    fi
    if [ "$MODE" = sentinel ]; then
      printf 'replica-priority 0\nreplicaof %s 1\n' "$NOBODY"
    fi
    printf '%s\n' "$2"
  } >"$compose_dir/redis.conf.new" || return 1
  mv "$compose_dir/redis.conf.new" "$compose_dir/redis.conf" || return 1
  printf '%s' "$compose_dir/redis.conf"
}

# launch PORT: starts the server; its port is open from the start where PORT is not 0.
launch() {
  extra=
  # A dump without an append-only file is ignored by a Redis that has appendonly on: load it first, then switch.
  if [ "$HOLDING" = intact ] && ! has_aof; then
    extra='appendonly no'
  fi
  conf=$(compose "$1" "$extra") || fail "$RUN_DIR cannot be written to"
  empty_file "$PRIORITY_LOWERED"
  rm -f "$SOCKET" "$PROMOTING"
  empty_file "$STARTING"
  PORT_OPEN=
  [ "$1" = 0 ] || PORT_OPEN=yes
  say "loading: the data here are $(holding_path)"
  "$SERVER" "$conf" </dev/null &
  CHILD=$!
}

# answers SOCKET: what PING gets there, empty while nothing does.
answers() { cli "$PASSWORD" 3 -s "$1" PING 2>/dev/null </dev/null; }

# wait_loaded: false when the server has ended before it had loaded.
wait_loaded() {
  while child_lives; do
    case $(answers "$SOCKET") in
      *LOADING*) pause 0.3 ;;
      '') pause 0.1 ;;
      *) rm -f "$STARTING" && return 0 ;;
    esac
  done
  return 1
}

# data_are_to_blame: does the same server start on an empty directory? Then what lies in ours cannot be loaded.
# Else it is the configuration, the image or the machine, and the data stay where they are.
data_are_to_blame() {
  for blame_path in "$DATA_DIR"/*/*.aof "$DATA_DIR"/*/*.rdb "$DATA_DIR"/*/*.manifest "$DATA_DIR"/*.aof "$DATA_DIR"/*.rdb; do
    if [ -e "$blame_path" ] && [ ! -r "$blame_path" ]; then
      log "$blame_path cannot be read by user $(id -u)"
      return 1
    fi
  done
  mkdir -p "$RUN_DIR/probe" || return 1
  "$SERVER" "$conf" --dir "$RUN_DIR/probe" --unixsocket "$RUN_DIR/probe/redis.sock" --port 0 </dev/null >/dev/null &
  CHILD=$!
  blame=1
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    child_lives || break
    if [ "$(answers "$RUN_DIR/probe/redis.sock")" = PONG ]; then
      blame=0
      break
    fi
    pause 0.2
  done
  stop_child
  rm -rf "$RUN_DIR/probe"
  return "$blame"
}

# start: launches the server with a closed port and waits until it has loaded. No server afterwards = damaged.
start() {
  launch 0
  if wait_loaded; then
    check_loaded
    return
  fi
  child_ended
  start_status=$?
  # Above 128 a signal ended it (no memory, perhaps): that says nothing about the data.
  if [ "$start_status" -gt 128 ] || ! { has_aof || has_rdb; } || ! data_are_to_blame; then
    log "redis-server has ended with status $start_status before it was ready; its lines above say why"
    exit "$start_status"
  fi
  HOLDING=damaged
}

# check_loaded: what the directory is said to hold, against what was loaded.
check_loaded() {
  LIVE_PORT=
  [ "$(own CONFIG SET port 0)" != OK ] || LIVE_PORT=yes
  case $HOLDING in
    fresh | emptied)
      [ "$(own DBSIZE)" != 0 ] || return 0
      log "the directory was marked as $HOLDING, but holds keys: they are kept"
      HOLDING=intact
      stop_child
      start
      ;;
    intact) adopt_dump ;;
  esac
}

# adopt_dump: what was loaded from a dump alone gets its append-only file.
adopt_dump() {
  [ "$extra" = 'appendonly no' ] || return 0
  log "loaded from a dump; writing the append-only file"
  own CONFIG SET appendonly yes >/dev/null
  extra=
  while child_lives && ! { parse_info "$(own INFO persistence)" && [ -z "$INFO_rewriting" ] && has_aof; }; do
    pause 0.2
  done
}

# open_port: where the server cannot do that while it runs (before 7.0), it starts anew with the port open. It is
# a replica then, as before: never writable in between.
open_port() {
  [ -z "$PORT_OPEN" ] || return 0
  if [ -n "$LIVE_PORT" ]; then
    port_answer=$(own CONFIG SET port "$REDIS_PORT")
    if [ "$port_answer" != OK ]; then
      say "waiting: redis-server does not open port $REDIS_PORT: ${port_answer:-no answer}"
      return 1
    fi
    PORT_OPEN=yes
    return 0
  fi
  own SHUTDOWN NOSAVE >/dev/null
  child_ended || :
  launch "$REDIS_PORT"
  wait_loaded || stay_parent
}

# close_port: and every connection through it, or Sentinel would go on talking over its own.
close_port() {
  [ -n "$PORT_OPEN" ] || return 0
  if [ -n "$LIVE_PORT" ] && [ "$(own CONFIG SET port 0)" = OK ]; then
    PORT_OPEN=
    own CLIENT KILL TYPE normal >/dev/null
    own CLIENT KILL TYPE pubsub >/dev/null
  else
    stop_child
    PORT_OPEN=
  fi
}

# --- decisions -------------------------------------------------------------------------------------------------

# fence: no write is accepted from here on, whatever the role.
fence() {
  if [ -z "$FENCE" ]; then
    FENCE=$(own CONFIG GET min-replicas-to-write | tail -n 1)
    is_number "$FENCE" || { FENCE='' && return 1; }
  fi
  empty_file "$PROMOTING"
  [ "$(own CONFIG SET min-replicas-to-write 99)" = OK ]
}

unfence() {
  [ -n "$FENCE" ] || return 0
  [ "$(own CONFIG SET min-replicas-to-write "$FENCE")" = OK ] || return 1
  FENCE=
  rm -f "$PROMOTING"
}

# be_nobody: back to where every start begins. A server that does not obey must not stay.
be_nobody() {
  own REPLICAOF "$NOBODY" 1 >/dev/null
  own_role
  if [ "$INFO_role" != slave ] || ! unfence; then
    log "redis-server does not go back to being a replica: ending it"
    stop_child
    exit 1
  fi
}

# objection ANSWERS: sets OBJECTION to a sentence where rule "every other data pod was asked, and none knows better"
# does not hold: one is master, one has taken over our replication id and gone on with it, or one cannot be asked
# and is not shown down by a majority of sentinels.
objection() {
  OBJECTION=
  if [ -n "$FAILOVER" ]; then
    OBJECTION="a failover is under way"
    return
  fi
  for other in $OTHERS; do
    seen=
    while read -r kind who status role replid2 offset _; do
      if [ "$kind $who $status" != "data $other ok" ]; then continue; fi
      seen=yes
      if [ "$role" = master ]; then
        OBJECTION="$(name_of "$other") says it is master"
      elif [ -n "$RECORDED_replid" ] && [ "$replid2" = "$RECORDED_replid" ] && [ "$offset" -gt "$RECORDED_offset" ]; then
        OBJECTION="$(name_of "$other") has gone on with this pod's data (replication id $replid2) under another master"
      fi
    done <<EOF
$1
EOF
    if [ -z "$seen" ] && ! is_shown_down "$other" "$1"; then
      OBJECTION="$(name_of "$other") cannot be asked, and no majority of sentinels shows it down"
    fi
    [ -z "$OBJECTION" ] || return
  done
  look_at_failover "$1"
  may_still_open || OBJECTION="Sentinel has heard nothing from it for so long that it is about to promote $(name_of "$SUCCESSOR")"
}

# look_at_failover ANSWERS: sets SUCCESSOR to a pod that Sentinel could promote instead of this one (empty where
# there is none), and LEFT and LEFT_LAST to the milliseconds until the first and the last sentinel hold this pod for
# down (negative: since when they do).
look_at_failover() {
  SUCCESSOR='' LEFT='' LEFT_LAST=''
  while read -r kind who status third _ _ sixth left_ms _; do
    case $kind.$status in
      # data WHO ok ROLE REPLID2 OFFSET PRIORITY
      data.ok) if [ "$third" = slave ] && [ "$sixth" != 0 ]; then SUCCESSOR=$who; fi ;;
      # sentinel WHO ok NAMED PORT EPOCH FLAGS LEFT DOWN
      sentinel.ok)
        if [ -z "$LEFT" ] || [ "$left_ms" -lt "$LEFT" ]; then LEFT=$left_ms; fi
        if [ -z "$LEFT_LAST" ] || [ "$left_ms" -gt "$LEFT_LAST" ]; then LEFT_LAST=$left_ms; fi
        ;;
    esac
  done <<EOF
$1
EOF
}

# may_still_open: an opened port is noticed by every sentinel before it would begin a failover; else two would be
# master, this pod and the one that Sentinel promotes in the same second. A sentinel reconnects once a second. Where
# nobody could be promoted instead, there is no hurry. And where the failover has failed, there is time before the next
# attempt: Sentinel begins it 2 x failover-timeout after the last one. Without that this pod could wait for ever.
REOPEN_MS=1500
may_still_open() {
  [ -n "$SUCCESSOR" ] || return 0
  passed_ms=$((($(uptime_cs) - LOOKED_AT) * 10))
  [ $((${LEFT:-0} - passed_ms)) -lt "$REOPEN_MS" ] || return 0
  down_ms=$((passed_ms - ${LEFT_LAST:-0}))
  [ "$down_ms" -gt 0 ] || return 1
  attempt_ms=$((down_ms % (2 * FAILOVER_TIMEOUT_MS)))
  [ "$attempt_ms" -ge "$FAILOVER_TIMEOUT_MS" ] && [ "$attempt_ms" -le $((FAILOVER_TIMEOUT_MS * 17 / 10)) ]
}

# is_shown_down ADDRESS ANSWERS
is_shown_down() {
  shown=0
  while read -r kind _ status _ _ _ _ _ down; do
    if [ "$kind" != sentinel ] || [ "$status" != ok ]; then continue; fi
    case $down in *",$1,"*) shown=$((shown + 1)) ;; esac
  done <<EOF
$2
EOF
  [ "$shown" -ge "$MAJORITY" ]
}

# record_master EPOCH: for this pod's next start.
record_master() {
  own_role
  empty_file "$INITIALISED" && write_state "$1"
}

# look: one round of questions. Sets ANSWERS, VERDICT, NAMED, EPOCH …
look() {
  read_members data
  [ -n "$MY_ADDRESS" ] || return 1
  LOOKED_AT=$(uptime_cs)
  ANSWERS=$(ask_all "$SENTINELS" "$OTHERS")
  judge "$ANSWERS"
}

# An answer from before a stall of this machine says nothing about now.
is_recent() { [ $(($(uptime_cs) - LOOKED_AT)) -le 300 ]; }

# named_again EPOCH: a new look says the same as before, and nobody objects.
named_again() {
  look && [ "$VERDICT" = agreed ] && [ "$NAMED" = "$MY_ADDRESS" ] && [ "$EPOCH" = "$1" ] || return 1
  objection "$ANSWERS"
  [ -z "$OBJECTION" ] && is_recent
}

# become_master: called with a fresh look that names this pod. True when it is master and its port is open.
# Order: asked once (that look), again 0.5 s later, closed and fenced, promoted, asked a third time, and only then
# opened.
become_master() {
  objection "$ANSWERS"
  if [ -n "$OBJECTION" ]; then
    say "waiting: $VOTES, which is this pod, but $OBJECTION"
    return 1
  fi
  if [ -z "$LIVE_PORT" ] && [ -z "$PORT_OPEN" ]; then
    open_port || return 1
  fi
  master_epoch=$EPOCH
  pause 0.5
  named_again "$master_epoch" || return 1
  [ -z "$LIVE_PORT" ] || close_port
  if ! fence || ! is_recent || [ "$(own REPLICAOF NO ONE)" != OK ]; then
    be_nobody
    return 1
  fi
  own_role
  if [ "$INFO_role" != master ] || ! named_again "$master_epoch"; then
    be_nobody
    say "waiting: this pod was named and promoted, and has stepped back before it took a write: ${OBJECTION:-$VOTES}"
    return 1
  fi
  if ! record_master "$master_epoch" || ! is_recent || ! may_still_open || ! unfence || ! open_port; then
    be_nobody
    return 1
  fi
  say "master: $VOTES, which is this pod, and nobody objects"
}

# follow ADDRESS
follow() {
  if [ "$HOLDING" = damaged ]; then
    log "the data here cannot be used, and $VOTES: setting them aside in $ASIDE"
    set_data_aside
  fi
  [ -n "$CHILD" ] || start
  [ -n "$LIVE_PORT" ] || open_port || return 1
  [ "$(own REPLICAOF "$1" "$REDIS_PORT")" = OK ] || return 1
  own_role
  [ "$INFO_role" = slave ] && [ "$INFO_master" = "$1" ] || return 1
  open_port || return 1
  say "following: $VOTES"
}

# commanded: somebody made this server a master or a member's replica, through its open port.
commanded() {
  [ -n "$CHILD" ] && [ -n "$PORT_OPEN" ] || return 1
  own_role
  case $INFO_role in
    master)
      record_master ''
      say "master: made so by command"
      ;;
    slave) is_in "$INFO_master" "$OTHERS" && say "following: told to follow $(name_of "$INFO_master")" ;;
    *) return 1 ;;
  esac
}

# decide: one round of the gate. True when it is over.
# Whether somebody has commanded is asked after the look: an operator first makes a master and then tells the
# sentinels, so that answers which name this pod may be newer than the role that was asked before them.
decide() {
  look
  looked=$?
  commanded && return 0
  [ "$looked" = 0 ] || return 1
  case $VERDICT in
    agreed)
      if [ "$NAMED" != "$MY_ADDRESS" ]; then
        if is_in "$NAMED" "$OTHERS"; then
          follow "$NAMED" && return 0
        else
          say "waiting: $VOTES, which is no member"
        fi
      elif [ "$HOLDING" = intact ] && [ -z "$STALE" ]; then
        become_master && return 0
      else
        close_port
        decide_data=$HOLDING
        [ -z "$STALE" ] || decide_data="older than what it last held"
        say "waiting with a closed port: $VOTES, which is this pod, but its data are $decide_data; Sentinel has to choose another"
      fi
      ;;
    split) say "waiting: $VOTES" ;;
    nobody)
      if [ "$HOLDING" = damaged ]; then
        say "waiting with a closed port: the data here cannot be used, and $VOTES"
      else
        [ -n "$CHILD" ] || start
        open_port || return 1
        say "waiting, read-only: $VOTES; the data here are $(holding_path)"
      fi
      ;;
  esac
  return 1
}

# settled: true once this pod is master, or its first link to a master is up. Until then Sentinel may not know this
# replica yet, and would not lead it to the successor of a master that died meanwhile.
settled() {
  own_role
  [ "$INFO_role" != master ] && [ "$INFO_link" != up ] || return 0
  settled_master=$INFO_master
  look || return 1
  own_role
  [ "$INFO_role $INFO_master" = "slave $settled_master" ] || return 1
  if [ "$VERDICT" = agreed ] && [ "$NAMED" != "$settled_master" ] && is_in "$NAMED" "$OTHERS"; then
    [ "$(own REPLICAOF "$NAMED" "$REDIS_PORT")" != OK ] || say "following: $VOTES"
  fi
  return 1
}

# --- the order of things ---------------------------------------------------------------------------------------

SERVER=$(program redis-server valkey-server) || fail "neither redis-server nor valkey-server is in PATH ($PATH)"
prepare_cli
mkdir -p "$RUN_DIR"
read_members data
if [ "$MODE" = sentinel ]; then
  wait_for_my_line data
fi
look_at_data
if [ "$MODE" != sentinel ]; then
  if [ "$HOLDING" = intact ] && ! has_aof; then
    # Nobody writes before the dump has its append-only file: a crash in between would be the end of that write.
    launch 0
    wait_loaded || stay_parent
    check_loaded
    open_port
  else
    launch "$REDIS_PORT"
    wait_loaded
  fi
  say "standalone: writable from the start"
  stay_parent
fi
[ "$HOLDING" = damaged ] || start
rounds=0
until decide; do
  [ -z "$CHILD" ] || child_lives || stay_parent
  rounds=$((rounds + 1))
  if [ "$rounds" -lt 60 ]; then pause 0.5; else pause 1; fi
done
until settled; do
  child_lives || stay_parent
  pause 1
done
stay_parent
