{{/* What the operator may do: in its namespace by a Role, in all of them (operator.clusterWide) by a ClusterRole. */}}
{{- define "contex.operator.rules" -}}
- apiGroups: [redis.contex.io]
  resources: [contexredises]
  verbs: [get, list, watch, patch] # patch: a request by annotation is taken off before it is carried out
- apiGroups: [redis.contex.io]
  resources: [contexredises/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete] # delete: from mode sentinel to standalone
# The pod templates that worked last, to go back to.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get]
# delete: the Service of a pod that was removed because the number was lowered.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete] # delete: a pod at a time, to be made anew from a changed template
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list]
# The env entries of the Deployments that a ContexRedis names (contex.wiring: patch).
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, patch]
# Which operator leads. One that watches all namespaces looks for others in them.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update{{ if .Values.operator.clusterWide }}, list{{ end }}]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
