{{- define "bookwheel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- /* Arguments: root, component's name. Selects the component's pods. Kubernetes does not allow a selector to change. */ -}}
{{- define "bookwheel.selector" -}}
app.kubernetes.io/name: {{ default (index . 0).Chart.Name (index . 0).Values.nameOverride }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* Arguments: root, component's name. There is no version label: an upgrade must replace only pods that differ. */ -}}
{{- define "bookwheel.podLabels" -}}
{{ include "bookwheel.selector" . }}
app.kubernetes.io/part-of: bookwheel
{{- end }}

{{- define "bookwheel.labels" -}}
{{ include "bookwheel.podLabels" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Arguments: root, component's name. The metadata of the component's objects. */ -}}
{{- define "bookwheel.metadata" -}}
name: {{ include "bookwheel.fullname" (index . 0) }}-{{ index . 1 }}
namespace: {{ (index . 0).Release.Namespace }}
labels: {{- include "bookwheel.labels" . | nindent 2 }}
{{- end }}

{{- /* Arguments: root, image's name. */ -}}
{{- define "bookwheel.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
bookwheel/{{ index . 1 }}:{{ default (index . 0).Chart.AppVersion $image.tag }}
{{- end }}

{{- /* Arguments: root, component's name. The component's values merged over `defaults`. */ -}}
{{- define "bookwheel.component" -}}
{{- $root := index . 0 -}}
{{- mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy (index $root.Values.components (index . 1))) | toYaml -}}
{{- end }}

{{- /* The names of the enabled components, as a YAML list. */ -}}
{{- define "bookwheel.enabled" -}}
{{- range $name := keys .Values.components | sortAlpha }}
{{- if (index $.Values.components $name).enabled }}
- {{ $name }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The ports of the bundled stores by name. */ -}}
{{- define "bookwheel.bundled" -}}
{{- if .Values.redis.bundled }}
redis: 6379
{{- end }}
{{- if .Values.postgresql.bundled }}
postgresql: 5432
{{- end }}
{{- if .Values.elasticsearch.bundled }}
elasticsearch: 9200
{{- end }}
{{- if .Values.registry.bundled }}
registry: 5000
{{- end }}
{{- end }}

{{- /* The port of metrics and probes of components without an API. */ -}}
{{- define "bookwheel.metricsPort" -}}9464{{- end }}

{{- /* Arguments: root, component. Whether it mounts the lake's volume, and whether this volume binds its pods to one node. */ -}}
{{- define "bookwheel.mountsLake" -}}
{{- if and (has "lake" ((index . 1).volumes | default list)) (not (index . 0).Values.lake.url) }}true{{ end -}}
{{- end }}
{{- define "bookwheel.boundByLake" -}}
{{- if and (include "bookwheel.mountsLake" .) (eq (index . 0).Values.lake.accessMode "ReadWriteOnce") }}true{{ end -}}
{{- end }}

{{- define "bookwheel.secretName" -}}
{{- default (printf "%s-settings" (include "bookwheel.fullname" .)) .Values.secrets.existingSecret -}}
{{- end }}
{{- define "bookwheel.signingKeysName" -}}
{{- default (printf "%s-signing-keys" (include "bookwheel.fullname" .)) .Values.secrets.existingSigningKeys -}}
{{- end }}
{{- define "bookwheel.storePasswordsName" -}}
{{- default (printf "%s-store-passwords" (include "bookwheel.fullname" .)) .Values.secrets.existingStorePasswords -}}
{{- end }}
