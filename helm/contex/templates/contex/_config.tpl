{{/* Contex' environment, without secrets: data of its ConfigMap. */}}
{{- define "contex.config" -}}
{{- with .Values.contex -}}
SIMILARITY_THRESHOLD: {{ .similarity.threshold | quote }}
MAX_MATCHES: {{ int64 .similarity.maxMatches | quote }}
MAX_CONTEXT_SIZE: {{ int64 .similarity.maxContextSize | quote }}
HYBRID_SEARCH_ENABLED: {{ .hybridSearch.enabled | quote }}
RRF_K: {{ int64 .hybridSearch.rrfK | quote }}
VECTOR_BOOST: {{ .hybridSearch.vectorBoost | quote }}
RATE_LIMIT_ENABLED: {{ .security.rateLimitEnabled | quote }}
RATE_LIMIT_REQUESTS: {{ int64 .security.rateLimitRequests | quote }}
CORS_ORIGINS: {{ .security.corsOrigins | quote }}
LOG_LEVEL: {{ .logging.level | quote }}
LOG_JSON: {{ .logging.json | quote }}
{{- if .opensearch.url }}
OPENSEARCH_URL: {{ .opensearch.url | quote }}
{{- end }}
TRACING_ENABLED: {{ .tracing.enabled | quote }}
# Without a collector every exit would wait a minute for one.
TRACING_OTLP_EXPORT: {{ .tracing.enabled | quote }}
{{- if and .tracing.enabled .tracing.endpoint }}
TRACING_OTLP_ENDPOINT: {{ .tracing.endpoint | quote }}
{{- end }}
{{- end -}}
{{- if eq .Values.contex.redis.wiring "chart" -}}
{{ include "contex.redis.config" . }}
{{- end -}}
{{- end -}}

{{/* Entries of the container's env: what comes from Secrets, and the user's own, which win by standing last. */}}
{{- define "contex.env" -}}
{{- $salt := .Values.contex.security.existingSecret -}}
{{- if .Values.contex.security.apiKeySalt -}}{{- $salt = include "contex.secret.name" . -}}{{- end -}}
{{- if $salt }}
{{ include "contex.secretEntry" (dict "env" "API_KEY_SALT" "secret" $salt "key" "api_key_salt") }}
{{- end }}
{{- if eq .Values.contex.redis.wiring "chart" }}
{{- include "contex.redis.secretEnv" . }}
{{- end }}
{{- if include "contex.redis.shim" . }}
- name: PYTHONPATH
  value: /contex-redis-shim:/app # the second is the image's own
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
