{{/* What the values say about Redis, each answer in one place. A yes is a non-empty string. */}}

{{/* The operator belongs to a release that runs a Redis, unless said otherwise. */}}
{{- define "contex.operator.enabled" -}}
{{- $said := .Values.operator.enabled -}}
{{- if ternary $said .Values.redis.enabled (kindIs "bool" $said) -}}yes{{- end -}}
{{- end -}}

{{- define "contex.redis.isReplicated" -}}
{{- if eq .Values.redis.architecture "replication" -}}yes{{- end -}}
{{- end -}}

{{/* How Contex connects: through the sentinels, or to one address. An external Redis has no Service of ours. */}}
{{- define "contex.redis.connection" -}}
{{- if and .Values.redis.enabled .Values.contex.redis.connection -}}
{{- .Values.contex.redis.connection -}}
{{- else -}}
{{- ternary "sentinel" "service" (eq .Values.contex.redis.mode "sentinel") -}}
{{- end -}}
{{- end -}}

{{/* The password that the values give in plain sight, by either of its two names. */}}
{{- define "contex.redis.givenPassword" -}}
{{- .Values.contex.redis.password | default .Values.redis.auth.password -}}
{{- end -}}

{{/* The Secret that the ContexRedis names as the source of its passwords; empty: the operator makes them. */}}
{{- define "contex.redis.authSource" -}}
{{- if .Values.redis.auth.existingSecret -}}
{{- .Values.redis.auth.existingSecret -}}
{{- else if include "contex.redis.givenPassword" . -}}
{{- include "contex.redis.secret.name" . -}}
{{- end -}}
{{- end -}}

{{/* The credentials of an external Redis: the named Secret, the chart's own, or none. */}}
{{- define "contex.redis.externalSecret" -}}
{{- $redis := .Values.contex.redis -}}
{{- if $redis.existingSecret -}}
{{- $redis.existingSecret -}}
{{- else if or $redis.password (and (eq $redis.mode "sentinel") $redis.sentinel.password) (include "contex.redis.urlHasCredentials" .) -}}
{{- include "contex.redis.secret.name" . -}}
{{- end -}}
{{- end -}}

{{/* Only an external Redis in mode standalone uses the address at all. */}}
{{- define "contex.redis.urlHasCredentials" -}}
{{- if and (ne .Values.contex.redis.mode "sentinel") (regexMatch "^[a-z]+://[^/?#]*@" .Values.contex.redis.url) -}}yes{{- end -}}
{{- end -}}

{{/* The external address with the password in it: Contex looks for it nowhere else in mode standalone. The
     password is percent-encoded (a "+" would not be read as a space). */}}
{{- define "contex.redis.externalUrl" -}}
{{- $redis := .Values.contex.redis -}}
{{- if $redis.password -}}
{{- $encoded := $redis.password | urlquery | replace "+" "%20" -}}
{{- regexReplaceAllLiteral "^([a-z]+://)" $redis.url (printf "%s:%s@" (regexFind "^[a-z]+://" $redis.url) $encoded) -}}
{{- else -}}
{{- $redis.url -}}
{{- end -}}
{{- end -}}

{{/* The sentinels by name: "<redis>-sentinel-0.<redis>-sentinel:26379,…". */}}
{{- define "contex.redis.ownSentinels" -}}
{{- $set := printf "%s-sentinel" (include "contex.redis.name" .) -}}
{{- $hosts := list -}}
{{- range $i := until (int .Values.redis.sentinel.replicas) -}}
{{- $hosts = append $hosts (printf "%s-%d.%s:26379" $set $i $set) -}}
{{- end -}}
{{- join "," $hosts -}}
{{- end -}}

{{/* Whether all hosts given are pods of the Redis chart that Contex used to bundle, by this release's names. Its
     values files keep working: the same sentinels have new names now. */}}
{{- define "contex.redis.hostsAreOldNames" -}}
{{- $redis := include "contex.redis.name" . -}}
{{- $pattern := printf "^%s-node-[0-9]+\\.%s-headless(\\.[a-z0-9.-]+)?:26379$" $redis $redis -}}
{{- $others := list -}}
{{- range splitList "," .Values.contex.redis.sentinel.hosts -}}
{{- if not (regexMatch $pattern (trim .)) -}}{{- $others = append $others . -}}{{- end -}}
{{- end -}}
{{- if not $others -}}yes{{- end -}}
{{- end -}}

{{/* REDIS_SENTINEL_HOSTS: what was given, else the chart's own sentinels. */}}
{{- define "contex.redis.sentinelHosts" -}}
{{- $given := .Values.contex.redis.sentinel.hosts -}}
{{- if and .Values.redis.enabled (or (not $given) (include "contex.redis.hostsAreOldNames" .)) -}}
{{- include "contex.redis.ownSentinels" . -}}
{{- else -}}
{{- regexReplaceAll "\\s" $given "" -}}
{{- end -}}
{{- end -}}

{{/* Whether the chart mounts the file with which published Contex speaks to sentinels. Where the operator wires, it does. */}}
{{- define "contex.redis.shim" -}}
{{- $redis := .Values.contex.redis -}}
{{- if and $redis.sentinel.shim (eq $redis.wiring "chart") (eq (include "contex.redis.connection" .) "sentinel") -}}yes{{- end -}}
{{- end -}}

{{/* Contex' Redis environment, without secrets: data of its ConfigMap. Times are whole seconds. */}}
{{- define "contex.redis.config" -}}
{{- $redis := .Values.contex.redis -}}
{{- if eq (include "contex.redis.connection" .) "sentinel" }}
REDIS_MODE: sentinel
REDIS_SENTINEL_HOSTS: {{ include "contex.redis.sentinelHosts" . | quote }}
REDIS_SENTINEL_MASTER: {{ $redis.sentinel.master | quote }}
REDIS_DB: {{ int64 $redis.sentinel.db | quote }}
{{- else }}
REDIS_MODE: standalone
{{- if not (or .Values.redis.enabled (include "contex.redis.externalSecret" .)) }}
REDIS_URL: {{ $redis.url | quote }}
{{- end }}
{{- end }}
REDIS_MAX_CONNECTIONS: {{ int64 $redis.maxConnections | quote }}
REDIS_SOCKET_TIMEOUT: {{ int64 $redis.socketTimeout | quote }}
REDIS_SOCKET_CONNECT_TIMEOUT: {{ int64 $redis.socketConnectTimeout | quote }}
REDIS_SOCKET_KEEPALIVE: {{ $redis.socketKeepalive | quote }}
REDIS_RETRY_ON_TIMEOUT: {{ $redis.retryOnTimeout | quote }}
REDIS_HEALTH_CHECK_INTERVAL: {{ int64 $redis.healthCheckInterval | quote }}
{{- end -}}

{{/* Contex' Redis environment, the secret part: entries of its container's env. The chart's own Redis: from the
     passwords that Redis really has (the operator's copy), never from their source, which may have changed. */}}
{{- define "contex.redis.secretEnv" -}}
{{- $sentinel := eq (include "contex.redis.connection" .) "sentinel" -}}
{{- $name := include "contex.redis.name" . -}}
{{- $external := include "contex.redis.externalSecret" . -}}
{{- if and .Values.redis.enabled $sentinel .Values.redis.auth.enabled }}
{{ include "contex.secretEntry" (dict "env" "REDIS_PASSWORD" "secret" (printf "%s-auth-active" $name) "key" "password") }}
{{ include "contex.secretEntry" (dict "env" "REDIS_SENTINEL_PASSWORD" "secret" (printf "%s-auth-active" $name) "key" "sentinel-password") }}
{{- else if and .Values.redis.enabled (not $sentinel) }}
{{ include "contex.secretEntry" (dict "env" "REDIS_URL" "secret" (printf "%s-contex-env" $name) "key" "url") }}
{{- else if and (not .Values.redis.enabled) $external $sentinel }}
{{ include "contex.secretEntry" (dict "env" "REDIS_PASSWORD" "secret" $external "key" "password" "optional" true) }}
{{ include "contex.secretEntry" (dict "env" "REDIS_SENTINEL_PASSWORD" "secret" $external "key" "sentinel-password" "optional" true) }}
{{- else if and (not .Values.redis.enabled) $external }}
{{ include "contex.secretEntry" (dict "env" "REDIS_URL" "secret" $external "key" "url") }}
{{- end }}
{{- end -}}

{{- define "contex.secretEntry" -}}
- name: {{ .env }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* A directive's value as redis.conf spells it: YAML has made yes a boolean and 64 a float. */}}
{{- define "contex.redis.directive" -}}
{{- if kindIs "bool" . -}}
{{- ternary "yes" "no" . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* An entry of the security context: whole numbers stay whole, an empty text is null, which Helm itself would drop. */}}
{{- define "contex.redis.entry" -}}
{{- if kindIs "float64" . -}}
{{- int64 . -}}
{{- else if and (kindIs "string" .) (not .) -}}
null
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}
