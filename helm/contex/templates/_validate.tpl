{{/* Contradictions that a schema cannot see. Every sentence says what to write instead; all are told at once. */}}

{{- define "contex.validate" -}}
{{- $absent := include "contex.validate.absent" . -}}
{{- if $absent -}}
{{- fail (printf "\n\nThese values cannot be null; leave them out for their defaults:\n%s\n" $absent) -}}
{{- end -}}
{{- $found := list -}}
{{- range $check := list "names" "architecture" "sentinels" "hosts" "volumes" "auth" "external" "wiring" "scaling" "monitors" -}}
{{- $said := include (printf "contex.validate.%s" $check) $ -}}
{{- range splitList "\n" $said -}}
{{- with trim . -}}{{- $found = append $found (printf "- %s" .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $found -}}
{{- fail (printf "\n\nThese values contradict each other:\n%s\n" (join "\n" $found)) -}}
{{- end -}}
{{- end -}}

{{/* Null takes a default away, and would become 0 or an empty text. The list is made of values.yaml. */}}
{{- define "contex.validate.absent" -}}
{{- $absent := list -}}
{{- range $path := splitList "\n" (.Files.Get "files/values.txt" | trim) -}}
{{- $node := $.Values -}}
{{- $way := list -}}
{{- $is := true -}}
{{- range $part := splitList "." $path -}}
{{- if $is -}}
{{- $way = append $way $part -}}
{{- $is = and (hasKey $node $part) (not (kindIs "invalid" (index $node $part))) -}}
{{- if $is -}}{{- $node = index $node $part -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $is -}}{{- $absent = append $absent (printf "- %s" (join "." $way)) -}}{{- end -}}
{{- end -}}
{{- join "\n" (uniq $absent) -}}
{{- end -}}

{{- define "contex.validate.names" -}}
{{- $name := include "contex.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
the objects of this release would be called {{ $name | quote }}, and Services may not be: set fullnameOverride to lower-case letters, digits and dashes, with a letter first.
{{- end -}}
{{- end -}}

{{- define "contex.validate.architecture" -}}
{{- $redis := .Values.redis -}}
{{- $contex := .Values.contex.redis -}}
{{- if $redis.enabled -}}
{{- if and (include "contex.redis.isReplicated" .) (not $redis.sentinel.enabled) }}
redis.architecture is replication, but redis.sentinel.enabled is false, and without sentinels nobody fails over: set redis.sentinel.enabled=true, or redis.architecture=standalone for one Redis.
{{- else if and (not (include "contex.redis.isReplicated" .)) $redis.sentinel.enabled }}
redis.sentinel.enabled is true, but redis.architecture is standalone, which has no replica to fail over to: set redis.architecture=replication, or redis.sentinel.enabled=false.
{{- else if and .Values.contex.enabled (eq $contex.mode "sentinel") (not $redis.sentinel.enabled) }}
contex.redis.mode is sentinel, but the chart's Redis has no sentinels: set redis.architecture=replication and redis.sentinel.enabled=true, or contex.redis.mode=standalone.
{{- end -}}
{{- end -}}
{{- if and (kindIs "bool" $contex.sentinel.enabled) (ne $contex.sentinel.enabled (eq $contex.mode "sentinel")) }}
contex.redis.mode is {{ $contex.mode }}, but contex.redis.sentinel.enabled is {{ $contex.sentinel.enabled }}: set contex.redis.mode={{ ternary "sentinel" "standalone" $contex.sentinel.enabled }}, or contex.redis.sentinel.enabled={{ eq $contex.mode "sentinel" }}.
{{- end -}}
{{- if and $redis.enabled (eq $contex.connection "sentinel") (ne $contex.mode "sentinel") }}
contex.redis.connection is sentinel, but contex.redis.mode is {{ $contex.mode }}: set contex.redis.mode=sentinel, or leave contex.redis.connection empty.
{{- end -}}
{{- end -}}

{{- define "contex.validate.sentinels" -}}
{{- $redis := .Values.redis -}}
{{- if and $redis.enabled (include "contex.redis.isReplicated" .) -}}
{{- $count := int $redis.sentinel.replicas -}}
{{- $majority := add (div $count 2) 1 -}}
{{- if eq (mod $count 2) 0 }}
redis.sentinel.replicas is {{ $count }}, which survives no more faults than one sentinel less: set redis.sentinel.replicas={{ sub $count 1 }} or {{ add $count 1 }}.
{{- end -}}
{{- with $redis.sentinel.quorum -}}
{{- if gt (int .) $count }}
redis.sentinel.quorum is {{ int . }}, but there are only {{ $count }} sentinels, so no failover would ever start: set redis.sentinel.quorum={{ $majority }}, a majority, or leave it empty.
{{- else if lt (int64 .) $majority }}
redis.sentinel.quorum is {{ int . }}, so a minority of {{ $count }} sentinels could start a failover of a healthy master: set redis.sentinel.quorum={{ $majority }}, a majority, or leave it empty.
{{- end -}}
{{- end -}}
{{- if lt (int64 $redis.sentinel.failoverTimeoutMilliseconds) (int64 $redis.sentinel.downAfterMilliseconds) }}
redis.sentinel.failoverTimeoutMilliseconds is {{ int64 $redis.sentinel.failoverTimeoutMilliseconds }}, below redis.sentinel.downAfterMilliseconds, {{ int64 $redis.sentinel.downAfterMilliseconds }}, so a failover would be given up before it can end: set it to three times that or more.
{{- end -}}
{{- if and (eq $redis.durability "strict") (lt (int $redis.replica.replicaCount) 2) }}
redis.durability is strict, which refuses writes without a replica, but redis.replica.replicaCount is {{ int $redis.replica.replicaCount }}, so the loss of one pod would stop all writes: set redis.replica.replicaCount=2, or redis.durability=balanced.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "contex.validate.hosts" -}}
{{- $given := .Values.contex.redis.sentinel.hosts -}}
{{- if and .Values.redis.enabled .Values.contex.enabled (eq (include "contex.redis.connection" .) "sentinel") $given (not (include "contex.redis.hostsAreOldNames" .)) -}}
{{- $set := printf "%s-sentinel" (include "contex.redis.name" .) -}}
{{- $foreign := list -}}
{{- range splitList "," $given -}}
{{- $host := trim . -}}
{{- $number := regexReplaceAll (printf "^%s-([0-9]+)(\\.[a-z0-9.-]+)?:26379$" $set) $host "${1}" -}}
{{- $isSet := regexMatch (printf "^%s(\\.[a-z0-9.-]+)?:26379$" $set) $host -}}
{{- $isMember := and (ne $number $host) (lt (int $number) (int $.Values.redis.sentinel.replicas)) -}}
{{- if not (or $isSet $isMember) -}}{{- $foreign = append $foreign ($host | quote) -}}{{- end -}}
{{- end -}}
{{- if $foreign }}
contex.redis.sentinel.hosts names {{ join ", " $foreign }}, which the sentinels of the chart's own Redis are not called: leave contex.redis.sentinel.hosts empty (then it is {{ include "contex.redis.ownSentinels" $ }}), or set redis.enabled=false for an external Redis.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "contex.validate.volumes" -}}
{{- $redis := .Values.redis -}}
{{- if and $redis.enabled (eq $redis.durability "strict") (not $redis.master.persistence.enabled) }}
redis.durability is strict, but redis.master.persistence.enabled is false, so a pod that moves would lose what it has acknowledged: set redis.master.persistence.enabled=true, or redis.durability=balanced.
{{- end -}}
{{- if and $redis.enabled (include "contex.redis.isReplicated" .) -}}
{{- range $key := list "enabled" "size" "storageClass" -}}
{{- $master := get $redis.master.persistence $key -}}
{{- $replica := get $redis.replica.persistence $key -}}
{{- if ne (toString $master) (toString $replica) }}
redis.master.persistence.{{ $key }} is {{ $master | quote }}, but redis.replica.persistence.{{ $key }} is {{ $replica | quote }}, and any data pod can become the master: write the same under both.
{{- end -}}
{{- end -}}
{{- if ne (toJson $redis.master.resources) (toJson $redis.replica.resources) }}
redis.master.resources and redis.replica.resources differ, and any data pod can become the master: write the same under both.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "contex.validate.auth" -}}
{{- $auth := .Values.redis.auth -}}
{{- $contex := .Values.contex.redis -}}
{{- if .Values.redis.enabled -}}
{{- if and $contex.password $auth.password (ne $contex.password $auth.password) }}
contex.redis.password and redis.auth.password differ, but are the password of one Redis: give it once.
{{- end -}}
{{- $given := or $auth.password $contex.password $contex.sentinel.password -}}
{{- if and $given (not $auth.enabled) }}
a password is given, but redis.auth.enabled is false, so Redis would not know it: set redis.auth.enabled=true, or remove the password.
{{- end -}}
{{- if and $given $auth.existingSecret }}
redis.auth.existingSecret names a Secret, and a password is given besides: remove redis.auth.password, contex.redis.password and contex.redis.sentinel.password.
{{- else if and $contex.sentinel.password (not (include "contex.redis.givenPassword" .)) }}
contex.redis.sentinel.password is given, but no password of Redis: give redis.auth.password too, or neither (then the operator makes both).
{{- end -}}
{{- if and $auth.existingSecret (not $auth.enabled) }}
redis.auth.existingSecret names a Secret, but redis.auth.enabled is false: set redis.auth.enabled=true, or leave redis.auth.existingSecret empty.
{{- end -}}
{{- if $contex.existingSecret }}
contex.redis.existingSecret belongs to an external Redis: use redis.auth.existingSecret, or set redis.enabled=false.
{{- end -}}
{{- if gt (int $contex.sentinel.db) 15 }}
contex.redis.sentinel.db is {{ int $contex.sentinel.db }}, but the chart's Redis has the databases 0 to 15: set contex.redis.sentinel.db to one of them.
{{- end -}}
{{- if not (has (trimSuffix "/" $contex.url) (list "" "redis://redis:6379" (printf "redis://%s-master:6379" (include "contex.redis.name" .)))) }}
contex.redis.url names a Redis of your own, but redis.enabled is true, so it would not be used: set redis.enabled=false, or remove contex.redis.url.
{{- end -}}
{{- end -}}
{{- with .Values.contex.security -}}
{{- if and .apiKeySalt .existingSecret }}
contex.security.existingSecret names a Secret, and contex.security.apiKeySalt is given besides: remove one of them.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "contex.validate.external" -}}
{{- $contex := .Values.contex.redis -}}
{{- if and (not .Values.redis.enabled) .Values.contex.enabled -}}
{{- if and (eq $contex.mode "sentinel") (not $contex.sentinel.hosts) }}
contex.redis.mode is sentinel and redis.enabled is false, but contex.redis.sentinel.hosts is empty: name the sentinels of your Redis there (host:26379,host:26379,host:26379).
{{- end -}}
{{- if and (ne $contex.mode "sentinel") (not $contex.url) }}
redis.enabled is false, but contex.redis.url is empty: name your Redis there (redis://host:6379), or set redis.enabled=true.
{{- end -}}
{{- if $contex.connection }}
contex.redis.connection is about the chart's own Redis, and redis.enabled is false: leave contex.redis.connection empty and choose by contex.redis.mode.
{{- end -}}
{{- if and $contex.existingSecret (or $contex.password $contex.sentinel.password) }}
contex.redis.existingSecret names a Secret, and a password is given besides: remove contex.redis.password and contex.redis.sentinel.password.
{{- end -}}
{{- if and (ne $contex.mode "sentinel") $contex.password (include "contex.redis.urlHasCredentials" .) }}
contex.redis.url carries credentials, and contex.redis.password is given besides: remove one of them.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "contex.validate.wiring" -}}
{{- if eq .Values.contex.redis.wiring "operator" -}}
{{- if not .Values.redis.enabled }}
contex.redis.wiring is operator, but redis.enabled is false, and the operator wires only a Redis that it runs: set contex.redis.wiring=chart.
{{- else if not .Values.contex.enabled }}
contex.redis.wiring is operator, but contex.enabled is false, so there is no Deployment to wire: set contex.redis.wiring=chart.
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "contex.validate.scaling" -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
autoscaling.minReplicas is {{ int .minReplicas }}, but autoscaling.maxReplicas is {{ int .maxReplicas }}: set autoscaling.maxReplicas to {{ int .minReplicas }} or more.
{{- end -}}
{{- end -}}
{{- end -}}

{{/* `1m30s` in milliseconds. */}}
{{- define "contex.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
{{- $sum = add $sum (mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- define "contex.validate.monitors" -}}
{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- with get $.Values $name -}}
{{- if and .enabled (gt (include "contex.milliseconds" .scrapeTimeout | int64) (include "contex.milliseconds" .interval | int64)) }}
{{ $name }}.scrapeTimeout is {{ .scrapeTimeout }}, longer than {{ $name }}.interval, {{ .interval }}, and Prometheus refuses that: set {{ $name }}.scrapeTimeout={{ .interval }} or less.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
