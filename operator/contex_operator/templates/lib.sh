# shellcheck shell=sh
# Words and questions that the scripts of data pods and sentinels share. Sourced by them, never run by itself.
# Plain POSIX sh: the same text runs in BusyBox and in dash. A line of `members` is `data POD ADDRESS` or
# `sentinel POD ADDRESS MYID`; the address, its own Service's, is a member's identity.
# shellcheck disable=SC2034  # variables are read by the scripts that source this

CONTEX_DIR=${CONTEX_DIR:-/opt/contex-redis}
AUTH_DIR=${AUTH_DIR:-/etc/contex-redis/auth}
DATA_DIR=${DATA_DIR:-/data}
RUN_DIR=${RUN_DIR:-/run/contex-redis}
BIND=${BIND:-* -::*}
POD_NAME=${POD_NAME:-}

# A Service called "redis" puts REDIS_PORT=tcp://… into the environment of its namespace's pods: digits only.
is_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }
is_number "${REDIS_PORT:-}" || REDIS_PORT=6379
is_number "${SENTINEL_PORT:-}" || SENTINEL_PORT=26379

SOCKET=$RUN_DIR/redis.sock
PRIORITY_LOWERED=$RUN_DIR/priority-lowered # the priority 0 in force is ours, not somebody's decision
STARTING=$RUN_DIR/starting                 # the server has not loaded yet
PROMOTING=$RUN_DIR/promoting               # a promotion that is not decided yet
INITIALISED=$DATA_DIR/contex-initialised
UNSYNCED=$DATA_DIR/contex-unsynced
STATE=$DATA_DIR/contex-state
CR=$(printf '\r')
LAST_SAID=
CHILD= # the server that this shell is the parent of; empty while none runs

# --- what people read ------------------------------------------------------------------------------------------

# fail SENTENCE: ends the container for what no waiting will mend.
fail() {
  printf 'contex-redis: %s\n' "$1" >&2
  exit 1
}

log() { printf '%s contex-redis: %s\n' "$(date -u '+%Y-%m-%dT%H:%M:%SZ')" "$1"; }

# say SENTENCE: the script's present opinion, logged once per change and kept in RUN_DIR/state.
say() {
  [ "$1" != "$LAST_SAID" ] || return 0
  LAST_SAID=$1
  log "$1"
  write_file "$RUN_DIR/state" "$1"
}

# --- processes -------------------------------------------------------------------------------------------------

# pause SECONDS: a sleep that TERM interrupts.
pause() {
  sleep "$1" &
  wait $!
}

# child_lives: false once it has ended, reaped or not.
child_lives() {
  [ -n "$CHILD" ] && kill -0 "$CHILD" 2>/dev/null || return 1
  child_stat=
  { IFS= read -r child_stat <"/proc/$CHILD/stat"; } 2>/dev/null || return 0
  case ${child_stat##*)} in ' Z'* | ' X'*) return 1 ;; esac
}

# child_ended: reaps the child and returns its status.
child_ended() {
  child_status=0
  wait "$CHILD" || child_status=$?
  CHILD=
  return "$child_status"
}

# stop_child: TERM, then its status.
stop_child() {
  kill -TERM "$CHILD" 2>/dev/null || :
  child_ended
}

# A container ends by TERM to its first process, which is this shell: the server gets it, its status is ours.
forward_term() {
  trap '' TERM INT
  [ -n "$CHILD" ] || exit 0
  stop_child
  exit $?
}

# stay_parent: for as long as the server lives; then the container ends with the server's status.
stay_parent() {
  child_ended
  parent_status=$?
  log "the server has ended with status $parent_status"
  exit "$parent_status"
}

# --- programs and passwords ------------------------------------------------------------------------------------

# program NAME…: the first of these programs in PATH, past our own wrappers.
program() {
  for program_name in "$@"; do
    program_ifs=$IFS
    IFS=:
    for program_dir in $PATH; do
      if [ "$program_dir" != "$CONTEX_DIR/bin" ] && [ -x "$program_dir/$program_name" ]; then
        IFS=$program_ifs
        printf '%s\n' "$program_dir/$program_name"
        return 0
      fi
    done
    IFS=$program_ifs
  done
  return 1
}

# Sets CLI, PASSWORD, SENTINEL_PASSWORD. A password is the first line of its file, empty where auth is off.
prepare_cli() {
  CLI=$(program redis-cli valkey-cli) || fail "there is no redis-cli and no valkey-cli in PATH ($PATH): use an image that has one"
  command -v timeout >/dev/null || fail "the program timeout is missing: use an image with coreutils or BusyBox"
  unset REDISCLI_AUTH
  PASSWORD=
  SENTINEL_PASSWORD=
  [ ! -e "$AUTH_DIR/password" ] || IFS= read -r PASSWORD <"$AUTH_DIR/password" || :
  [ ! -e "$AUTH_DIR/sentinel-password" ] || IFS= read -r SENTINEL_PASSWORD <"$AUTH_DIR/sentinel-password" || :
}

# cli PASSWORD SECONDS ARGUMENT…: the cli, ended after so many seconds. The password goes through the environment:
# arguments can be read by everybody on the node.
cli() {
  cli_password=$1
  cli_seconds=$2
  shift 2
  if [ -n "$cli_password" ]; then
    REDISCLI_AUTH=$cli_password timeout "$cli_seconds" "$CLI" "$@"
  else
    timeout "$cli_seconds" "$CLI" "$@"
  fi
}

# own ARGUMENT…: one command to this pod's own redis, over its socket.
own() { cli "$PASSWORD" 3 -s "$SOCKET" "$@" 2>/dev/null </dev/null; }

# uptime_cs: hundredths of a second on a clock that nobody sets.
uptime_cs() { read -r up _ </proc/uptime && printf '%s' "${up%%.*}${up##*.}"; }

# quoted TEXT: as a value in redis.conf or sentinel.conf, whatever characters it has.
quoted() { printf '"%s"' "$(printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../\\x&/g')"; }

# loopback: where a server of this pod can be asked over TCP.
loopback() {
  case $BIND in
    \** | 0.0.0.0* | ::*) printf 127.0.0.1 ;;
    *) printf '%s' "${BIND%% *}" ;;
  esac
}

# write_file PATH TEXT: all of it or nothing.
write_file() { printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1"; }

# empty_file PATH. (`: >path` would end the whole shell where the path cannot be written.)
empty_file() { printf '' >"$1"; }

# --- members ---------------------------------------------------------------------------------------------------

# read_members KIND: sets MY_ADDRESS and MY_ID (empty while the file does not name this pod as one of KIND),
# OTHERS (the other data pods' addresses), DATA (all), SENTINELS (the other sentinels' addresses), SENTINEL_IDS
# (`ADDRESS MYID` of each of those), SENTINEL_COUNT, MAJORITY.
read_members() {
  MY_ADDRESS='' MY_ID='' OTHERS='' DATA='' SENTINELS='' SENTINEL_IDS='' SENTINEL_COUNT=0 MAJORITY=1
  [ -r "$CONTEX_DIR/members" ] || return 0
  while read -r member_kind member_pod member_address member_id || [ -n "$member_kind" ]; do
    case $member_address in '' | *[!0-9a-fA-F.:]*) continue ;; esac
    if [ "$member_kind" = sentinel ]; then
      SENTINEL_COUNT=$((SENTINEL_COUNT + 1))
    fi
    if [ "$member_kind" = data ]; then
      DATA="$DATA $member_address"
    fi
    if [ "$member_kind" = "$1" ] && [ "$member_pod" = "$POD_NAME" ]; then
      MY_ADDRESS=$member_address MY_ID=$member_id
    elif [ "$member_kind" = data ]; then
      OTHERS="$OTHERS $member_address"
    elif [ "$member_kind" = sentinel ]; then
      SENTINELS="$SENTINELS $member_address"
      SENTINEL_IDS="$SENTINEL_IDS $member_address $member_id"
    fi
    member_kind=
  done <"$CONTEX_DIR/members"
  MAJORITY=$((SENTINEL_COUNT / 2 + 1))
}

# wait_for_my_line KIND: the mounted file can be older than the cluster; it is refreshed within a minute.
wait_for_my_line() {
  read_members "$1"
  while [ -z "$MY_ADDRESS" ]; do
    say "waiting: the members file does not name this pod ($POD_NAME) yet; the operator writes it"
    pause 1
    read_members "$1"
  done
}

# is_in ADDRESS ADDRESSES
is_in() { case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# name_of ADDRESS: `pod (address)`, or the address alone.
name_of() {
  while read -r name_kind name_pod name_address name_rest || [ -n "$name_kind" ]; do
    if [ "$name_address" = "$1" ]; then
      printf '%s (%s)' "$name_pod" "$1"
      return 0
    fi
    name_kind=$name_rest name_kind=
  done <"$CONTEX_DIR/members"
  printf '%s' "$1"
}

# read_state: sets RECORDED_… by what was recorded last; all empty where nothing was.
read_state() {
  RECORDED_replid='' RECORDED_offset='' RECORDED_role='' RECORDED_master='' RECORDED_epoch='' RECORDED_at=''
  [ -r "$STATE" ] || return 0
  while IFS='=' read -r state_key state_value; do
    case $state_key in
      replid) RECORDED_replid=$state_value ;;
      offset) RECORDED_offset=$state_value ;;
      role) RECORDED_role=$state_value ;;
      master) RECORDED_master=$state_value ;;
      epoch) RECORDED_epoch=$state_value ;;
      at) RECORDED_at=$state_value ;;
    esac
  done <"$STATE"
  is_number "$RECORDED_offset" || RECORDED_offset=0
}

# write_state EPOCH: what this pod is, as INFO_… has it. An empty epoch is an unknown one, never an old one.
write_state() {
  state_master=$INFO_master
  [ "$INFO_role" != master ] || state_master=$MY_ADDRESS
  write_file "$STATE" "replid=$INFO_replid
offset=$INFO_offset
role=$INFO_role
master=$state_master
epoch=$1
at=$(date +%s)"
}

# --- questions -------------------------------------------------------------------------------------------------

# ask_sentinel ADDRESS: one line, `sentinel ADDRESS STATUS NAMED PORT EPOCH FLAGS LEFT DOWN`. STATUS is ok, bare
# (monitors nothing), refused (another password) or silent; DOWN lists the data pods that it holds for down,
# between commas; LEFT is after how many milliseconds it will hold the master for down, if it hears nothing from it.
ask_sentinel() {
  cli "$SENTINEL_PASSWORD" 1 -h "$1" -p "$SENTINEL_PORT" 2>&1 <<EOF | {
SENTINEL MASTER $MASTER_NAME
PING
SENTINEL REPLICAS $MASTER_NAME
EOF
    status=silent named=- port=- epoch=- flags=- heard='' after='' down=, about=master replica=
    while IFS= read -r key; do
      case $key in
        '') continue ;;
        PONG) about=replica && continue ;;
        'ERR No such master'*) status=bare && continue ;;
        NOAUTH* | *WRONGPASS* | NOPERM* | 'AUTH failed'*) status=refused && continue ;;
        'Could not connect'* | 'Error:'* | ERR*) continue ;;
      esac
      IFS= read -r value || break
      case $about.$key in
        master.ip) named=$value ;;
        master.port) port=$value ;;
        master.flags) flags=$value ;;
        master.config-epoch) epoch=$value status=ok ;;
        master.last-ok-ping-reply) heard=$value ;;
        master.down-after-milliseconds) after=$value ;;
        replica.ip) replica=$value ;;
        replica.port) [ "$value" = "$REDIS_PORT" ] || replica= ;;
        replica.flags) case ,$value, in *,s_down,*) down="$down$replica," ;; esac ;;
      esac
    done
    is_number "$epoch" || [ "$status" != ok ] || status=silent
    left=0
    if is_number "$heard" && is_number "$after"; then
      left=$((after - heard))
    fi
    printf 'sentinel %s %s %s %s %s %s %s %s\n' "$1" "$status" "$named" "$port" "$epoch" "$flags" "$left" "$down"
  }
}

# parse_info TEXT: what anybody here needs of INFO and CONFIG GET, as INFO_…; what is absent is empty.
parse_info() {
  INFO_role='' INFO_replid='' INFO_replid2='' INFO_offset='' INFO_master='' INFO_master_port='' INFO_link=''
  INFO_syncing='' INFO_loading='' INFO_rewriting='' INFO_rewrite_status='' INFO_port='' INFO_priority='' INFO_promotable=0
  INFO_applied='' INFO_replicas='' INFO_failover='' INFO_version='' info_key=''
  while IFS= read -r info_line; do
    info_line=${info_line%"$CR"}
    case $info_key in
      port) INFO_port=$info_line ;;
      replica-priority) INFO_priority=$info_line ;;
    esac
    info_key=$info_line
    case $info_line in
      role:*) INFO_role=${info_line#*:} ;;
      slave_priority:*) INFO_promotable=${info_line#*:} ;;
      slave_repl_offset:*) INFO_applied=${info_line#*:} ;;
      slave[0-9]*:ip=*) parse_replica "${info_line#*:}" ;;
      master_failover_state:*) INFO_failover=${info_line#*:} ;;
      valkey_version:*) INFO_version=${info_line#*:} ;;
      redis_version:*) INFO_version=${INFO_version:-${info_line#*:}} ;;
      master_replid:*) INFO_replid=${info_line#*:} ;;
      master_replid2:*) INFO_replid2=${info_line#*:} ;;
      master_repl_offset:*) INFO_offset=${info_line#*:} ;;
      master_host:*) INFO_master=${info_line#*:} ;;
      master_port:*) INFO_master_port=${info_line#*:} ;;
      master_link_status:*) INFO_link=${info_line#*:} ;;
      master_sync_in_progress:*) INFO_syncing=${info_line#*:} ;;
      loading:*) INFO_loading=${info_line#*:} ;;
      aof_rewrite_in_progress:1 | aof_rewrite_scheduled:1) INFO_rewriting=1 ;;
      aof_last_bgrewrite_status:*) INFO_rewrite_status=${info_line#*:} ;;
    esac
  done <<EOF
$1
EOF
}

# parse_replica FIELDS: one replica as its master shows it, added to INFO_replicas as `ADDRESS PORT STATE OFFSET LAG`.
parse_replica() {
  replica_ip='' replica_port='' replica_state='' replica_offset=0 replica_lag=''
  replica_ifs=$IFS
  IFS=,
  for replica_field in $1; do
    case $replica_field in
      ip=*) replica_ip=${replica_field#*=} ;;
      port=*) replica_port=${replica_field#*=} ;;
      state=*) replica_state=${replica_field#*=} ;;
      offset=*) replica_offset=${replica_field#*=} ;;
      lag=*) replica_lag=${replica_field#*=} ;;
    esac
  done
  IFS=$replica_ifs
  INFO_replicas="$INFO_replicas$replica_ip $replica_port $replica_state $replica_offset $replica_lag
"
}

# own_role: INFO replication of this pod's own server.
own_role() { parse_info "$(own INFO replication)"; }

# ask_data ADDRESS: one line, `data ADDRESS ok ROLE REPLID2 OFFSET PRIORITY` (0 for a master) or `data ADDRESS silent`.
ask_data() {
  parse_info "$(cli "$PASSWORD" 1 -h "$1" -p "$REDIS_PORT" INFO replication 2>/dev/null </dev/null)"
  if [ -n "$INFO_role" ] && [ -n "$INFO_replid2" ] && is_number "$INFO_offset"; then
    printf 'data %s ok %s %s %s %s\n' "$1" "$INFO_role" "$INFO_replid2" "$INFO_offset" "$INFO_promotable"
  else
    printf 'data %s silent\n' "$1"
  fi
}

# ask_all SENTINELS DATA: everybody at the same time, each with a deadline of 1 s. One line per answer.
ask_all() {
  for ask_address in $1; do
    ask_sentinel "$ask_address" &
  done
  for ask_address in $2; do
    ask_data "$ask_address" &
  done
  wait
}

# judge ANSWERS: what the sentinels say together. Sets VERDICT:
#   agreed  a majority of all sentinels names one address, with the highest config-epoch that anybody knows:
#           NAMED and EPOCH say which
#   split   a majority remembers a master, but not the same one: a failover is under way
#   nobody  fewer than a majority can be asked and remember anything
# and FAILOVER (yes while a sentinel carries one out) and VOTES (who answered how, for people).
judge() {
  VERDICT='' NAMED='' EPOCH=-1 FAILOVER='' judge_ok=0 judge_bare=0 judge_refused=0 judge_same=0 judge_unequal=''
  while read -r judge_kind judge_who judge_status judge_named judge_port judge_epoch judge_flags judge_rest; do
    [ "$judge_kind" = sentinel ] || continue
    case $judge_status in
      ok) judge_ok=$((judge_ok + 1)) ;;
      bare) judge_bare=$((judge_bare + 1)) && continue ;;
      refused) judge_refused=$((judge_refused + 1)) && continue ;;
      *) continue ;;
    esac
    case ,$judge_flags, in *,failover_in_progress,*) FAILOVER=yes ;; esac
    [ "$judge_port" = "$REDIS_PORT" ] || judge_named=$judge_named:$judge_port
    if [ "$judge_epoch" -gt "$EPOCH" ]; then
      EPOCH=$judge_epoch NAMED=$judge_named judge_same=1 judge_unequal=
    elif [ "$judge_epoch" -eq "$EPOCH" ] && [ "$judge_named" = "$NAMED" ]; then
      judge_same=$((judge_same + 1))
    elif [ "$judge_epoch" -eq "$EPOCH" ]; then
      judge_unequal=yes
    fi
  done <<EOF
$1
EOF
  if [ "$judge_ok" -lt "$MAJORITY" ]; then
    VERDICT=nobody
    VOTES="$judge_ok of $SENTINEL_COUNT sentinels remember a master"
    [ "$judge_bare" = 0 ] || VOTES="$VOTES, $judge_bare monitor nothing"
    [ "$judge_refused" = 0 ] || VOTES="$VOTES, $judge_refused refuse our password"
  elif [ -z "$judge_unequal" ] && [ "$judge_same" -ge "$MAJORITY" ]; then
    VERDICT=agreed
    VOTES="$judge_same of $SENTINEL_COUNT sentinels name $(name_of "$NAMED") with epoch $EPOCH"
  else
    VERDICT="split"
    VOTES="only $judge_same of $SENTINEL_COUNT sentinels know the newest configuration (epoch $EPOCH)"
  fi
}
