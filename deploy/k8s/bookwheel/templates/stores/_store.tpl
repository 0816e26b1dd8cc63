{{- /* Arguments: root, store's name. The Service and the first part of the StatefulSet of a bundled store; its containers follow. */ -}}
{{- define "bookwheel.storeHead" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
apiVersion: v1
kind: Service
metadata: {{- include "bookwheel.metadata" (list $root $name) | nindent 2 }}
spec:
  clusterIP: None
  selector: {{- include "bookwheel.selector" (list $root $name) | nindent 4 }}
  ports: [{name: {{ $name }}, port: {{ index (include "bookwheel.bundled" $root | fromYaml) $name }}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{- include "bookwheel.metadata" (list $root $name) | nindent 2 }}
spec:
  serviceName: {{ include "bookwheel.fullname" $root }}-{{ $name }}
  replicas: 1
  revisionHistoryLimit: 3
  selector:
    matchLabels: {{- include "bookwheel.selector" (list $root $name) | nindent 6 }}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $root.Values.persistence.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ (index $root.Values $name).storage }}}}
  template:
    metadata:
      labels: {{- include "bookwheel.podLabels" (list $root $name) | nindent 8 }}
    spec:
      serviceAccountName: {{ include "bookwheel.fullname" $root }}-{{ $name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      {{- include "bookwheel.pullSecrets" $root | indent 6 }}
      securityContext: {{- include "bookwheel.podSecurity" ((index $root.Values $name).user | default 10001) | nindent 8 }}
{{- end }}

{{- /* Arguments: readiness check, and the liveness check if it differs. */ -}}
{{- define "bookwheel.storeProbes" -}}
startupProbe:
  {{ index . 0 }}
  periodSeconds: 3
  timeoutSeconds: 10
  failureThreshold: 200
readinessProbe:
  {{ index . 0 }}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: 3
livenessProbe:
  {{ last . }}
  periodSeconds: 15
  timeoutSeconds: 15
  failureThreshold: 6
{{- end }}
