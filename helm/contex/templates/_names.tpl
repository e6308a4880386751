{{/* Names and labels of the release's objects. */}}

{{- define "contex.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "contex.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The ContexRedis: 43 characters at most, so that its children's names fit into labels. */}}
{{- define "contex.redis.name" -}}
{{- printf "%s-redis" (include "contex.fullname" . | trunc 37 | trimSuffix "-") -}}
{{- end -}}

{{/* The chart's own Secrets: of Contex, and of Redis' password. Never a name that the operator uses. */}}
{{- define "contex.secret.name" -}}
{{- printf "%s-secrets" (include "contex.fullname" . | trunc 55 | trimSuffix "-") -}}
{{- end -}}

{{- define "contex.redis.secret.name" -}}
{{- printf "%s-password" (include "contex.redis.name" .) -}}
{{- end -}}

{{- define "contex.shim.name" -}}
{{- printf "%s-shim" (include "contex.fullname" . | trunc 58 | trimSuffix "-") -}}
{{- end -}}

{{- define "contex.operator.name" -}}
{{- printf "%s-operator" (include "contex.fullname" . | trunc 54 | trimSuffix "-") -}}
{{- end -}}

{{/* Cluster-scoped objects carry the namespace, too: two releases of one name never share them. */}}
{{- define "contex.operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "contex.operator.name" .) -}}
{{- end -}}

{{- define "contex.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "contex.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that every object carries beside its selector's. */}}
{{- define "contex.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/part-of: contex
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Contex. The selector is the one that earlier versions of the chart used: it cannot change. */}}
{{- define "contex.selectorLabels" -}}
app.kubernetes.io/name: {{ include "contex.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "contex.labels" -}}
{{ include "contex.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "contex.commonLabels" . }}
{{- end -}}

{{- define "contex.operator.selectorLabels" -}}
app.kubernetes.io/name: contex-redis-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "contex.operator.labels" -}}
{{ include "contex.operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.operator.image.tag | quote }}
{{ include "contex.commonLabels" . }}
{{- end -}}

{{/* The hook that brings the CRD up to date: no pod of it is one of the operator's. */}}
{{- define "contex.operator.crdHookName" -}}
{{- printf "%s-crd" (include "contex.operator.name" . | trunc 59 | trimSuffix "-") -}}
{{- end -}}

{{- define "contex.operator.hookLabels" -}}
app.kubernetes.io/name: contex-redis-crd
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "contex.commonLabels" . }}
{{- end -}}

{{/* A failed hook leaves its Job, whose log says why. Call with the weight. */}}
{{- define "contex.operator.crdHook" -}}
helm.sh/hook: pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "contex.operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The ContexRedis and what belongs to it. */}}
{{- define "contex.redis.labels" -}}
app.kubernetes.io/name: contex-redis
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "contex.commonLabels" . }}
{{- end -}}

{{/* repository:tag, or repository@digest. Call with (dict "image" … "tag" <default tag>). */}}
{{- define "contex.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{/* Spread over nodes as asked, over zones as well as can be had. Each revision by itself (pod-template-hash), so
     that a rolling update finds room; a node that is dead or cordoned does not count. Call with (dict "spread" … "labels" <selector>). */}}
{{- define "contex.topologySpread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: {{ .spread.whenUnsatisfiable }}
  nodeTaintsPolicy: Honor
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- .labels | nindent 6 }}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  nodeTaintsPolicy: Honor
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- .labels | nindent 6 }}
{{- end -}}

{{/* Security of containers that need no right at all. */}}
{{- define "contex.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}
