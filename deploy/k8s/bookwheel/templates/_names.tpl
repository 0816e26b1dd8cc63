{{- define "bookwheel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- /* Of (root, part): what tells the part's pods from all others, for ever: selectors can't be changed. */ -}}
{{- define "bookwheel.selector" -}}
app.kubernetes.io/name: {{ default (index . 0).Chart.Name (index . 0).Values.nameOverride }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* Without a version: only a pod that itself changes is to be made anew by an upgrade. */ -}}
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

{{- /* Of (root, part): the metadata that all of its objects have. */ -}}
{{- define "bookwheel.metadata" -}}
name: {{ include "bookwheel.fullname" (index . 0) }}-{{ index . 1 }}
namespace: {{ (index . 0).Release.Namespace }}
labels: {{- include "bookwheel.labels" . | nindent 2 }}
{{- end }}

{{- /* Of (root, image's name). */ -}}
{{- define "bookwheel.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
bookwheel/{{ index . 1 }}:{{ default (index . 0).Chart.AppVersion $image.tag }}
{{- end }}

{{- /* Of (root, component's name): the component with what it leaves to `defaults`. */ -}}
{{- define "bookwheel.component" -}}
{{- $root := index . 0 -}}
{{- mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy (index $root.Values.components (index . 1))) | toYaml -}}
{{- end }}

{{- /* The names of the components that run, one a line. */ -}}
{{- define "bookwheel.enabled" -}}
{{- range $name := keys .Values.components | sortAlpha }}
{{- if (index $.Values.components $name).enabled }}
- {{ $name }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The stores that the chart runs: their ports by name. */ -}}
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

{{- /* Where a component without an API of its own tells how it is. */ -}}
{{- define "bookwheel.metricsPort" -}}9464{{- end }}

{{- /* Of (root, component): whether it keeps the lake in the volume; and whether that binds its pods to one node. */ -}}
{{- define "bookwheel.keepsLake" -}}
{{- if and (has "lake" ((index . 1).volumes | default list)) (not (index . 0).Values.lake.url) }}true{{ end -}}
{{- end }}
{{- define "bookwheel.boundByLake" -}}
{{- if and (include "bookwheel.keepsLake" .) (eq (index . 0).Values.lake.accessMode "ReadWriteOnce") }}true{{ end -}}
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
