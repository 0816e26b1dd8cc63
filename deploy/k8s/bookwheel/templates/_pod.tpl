{{- /* Arguments: root, component's name, component. Its settings without passwords, sorted by name. */ -}}
{{- define "bookwheel.environment" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $component := index . 2 -}}
{{- $fullname := include "bookwheel.fullname" $root -}}
{{- $values := $root.Values -}}
{{- $addresses := dict -}}
{{- range $target := list "accounts" "catalog-api" "ml-serving" "demo-shop" -}}
{{- $_ := set $addresses $target (printf "%s-%s:%v" $fullname $target (index $values.components $target).port) -}}
{{- end -}}
{{- $environment := dict -}}
{{- if eq $name "gateway" -}}
{{- $environment = dict "BOOKWHEEL_ACCOUNTS_ADDRESS" (index $addresses "accounts") "BOOKWHEEL_CATALOG_ADDRESS" (index $addresses "catalog-api") "BOOKWHEEL_ML_ADDRESS" (index $addresses "ml-serving") -}}
{{- else if $component.secrets -}}
{{- $environment = dict "BOOKWHEEL_SECRETS_DIR" "/run/bookwheel/secrets" "BOOKWHEEL_JWKS_URL" (printf "http://%s/.well-known/jwks.json" (index $addresses "accounts")) -}}
{{- if $component.signingKeys -}}
{{- $_ := set $environment "BOOKWHEEL_SIGNING_KEY_FILE" "/run/bookwheel/signing-keys" -}}
{{- $_ := set $environment "BOOKWHEEL_CATALOG_URL" (printf "http://%s" (index $addresses "catalog-api")) -}}
{{- $_ := set $environment "BOOKWHEEL_ML_URL" (printf "http://%s" (index $addresses "ml-serving")) -}}
{{- end -}}
{{- if has "BOOKWHEEL_SEARCH_URL" $component.secrets -}}
{{- if $values.elasticsearch.bundled -}}
{{- $_ := set $environment "BOOKWHEEL_SEARCH_URL" (printf "elasticsearch://%s-elasticsearch:9200" $fullname) -}}
{{- else if $values.elasticsearch.external.url -}}
{{- $_ := set $environment "BOOKWHEEL_SEARCH_URL" $values.elasticsearch.external.url -}}
{{- end -}}
{{- end -}}
{{- if has "MLFLOW_TRACKING_URI" $component.secrets -}}
{{- if $values.registry.bundled -}}
{{- $_ := set $environment "MLFLOW_TRACKING_URI" (printf "http://%s-registry:5000" $fullname) -}}
{{- else if $values.registry.external.url -}}
{{- $_ := set $environment "MLFLOW_TRACKING_URI" $values.registry.external.url -}}
{{- end -}}
{{- end -}}
{{- if and (has "lake" ($component.volumes | default list)) $values.lake.url -}}
{{- $_ := set $environment "BOOKWHEEL_LAKE_URL" $values.lake.url -}}
{{- $_ := set $environment "BOOKWHEEL_LAKE_REGION" $values.lake.region -}}
{{- with $values.lake.endpoint }}{{- $_ := set $environment "BOOKWHEEL_LAKE_ENDPOINT" . -}}{{- end -}}
{{- end -}}
{{- if and (eq $name "scraper") (index $values.components "demo-shop").enabled -}}
{{- $_ := set $environment "BOOKWHEEL_DEMO_SHOP_URL" (printf "http://%s/" (index $addresses "demo-shop")) -}}
{{- end -}}
{{- end -}}
{{- if and (eq (dig "metrics" "port" "" $component) "metrics") (ne $name "gateway") -}}
{{- $_ := set $environment "BOOKWHEEL_METRICS_PORT" (include "bookwheel.metricsPort" $root) -}}
{{- end -}}
{{- $environment = mergeOverwrite $environment (deepCopy $values.settings) (deepCopy ($component.settings | default dict)) -}}
{{- range $variable := keys $environment | sortAlpha }}
- name: {{ $variable }}
  value: {{ index $environment $variable | quote }}
{{- end }}
{{- end }}

{{- define "bookwheel.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "bookwheel.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "bookwheel.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Arguments: root, component's name. Spreads the component's pods over nodes and zones if possible. */ -}}
{{- define "bookwheel.spread" -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "bookwheel.selector" $ | nindent 6 }}
{{- end }}
{{- end }}

{{- /*
Arguments: root, component. Pods that mount a `ReadWriteOnce` lake must run on one node. Each matches its own affinity term, so
the first can start on any node: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
*/ -}}
{{- define "bookwheel.affinity" -}}
{{- $affinity := deepCopy (index . 1).affinity -}}
{{- if include "bookwheel.boundByLake" . -}}
{{- $labels := dict "app.kubernetes.io/instance" (index . 0).Release.Name "bookwheel/lake" "true" -}}
{{- $sameNode := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) -}}
{{- $podAffinity := $affinity.podAffinity | default dict -}}
{{- $required := append ($podAffinity.requiredDuringSchedulingIgnoredDuringExecution | default list) $sameNode -}}
{{- $_ := set $affinity "podAffinity" (set $podAffinity "requiredDuringSchedulingIgnoredDuringExecution" $required) -}}
{{- end -}}
{{- with $affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "bookwheel.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- /* Argument: component. It has ten minutes to start. */ -}}
{{- define "bookwheel.probes" -}}
{{- with .probe }}
{{- $port := ternary "http" "metrics" (hasKey $ "port") }}
startupProbe:
  httpGet: {path: {{ .startup }}, port: {{ $port }}}
  periodSeconds: 3
  timeoutSeconds: 10
  failureThreshold: 200
readinessProbe:
  httpGet: {path: {{ .live }}, port: {{ $port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: {{ .live }}, port: {{ $port }}}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
{{- end }}
{{- end }}

{{- /* Arguments: root, names of settings. A volume with one file per setting: a component gets only its own passwords. */ -}}
{{- define "bookwheel.secretVolume" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
{{- range $key := index . 1 }}
      - secret:
          name: {{ include "bookwheel.secretName" (index $ 0) }}
          items: [{key: {{ $key }}, path: {{ $key }}}]
          {{- if not (has $key (list "BOOKWHEEL_DATABASE_URL" "BOOKWHEEL_REDIS_URL")) }}
          optional: true
          {{- end }}
{{- end }}
{{- end }}

{{- /* Arguments: root, component's name, component. */ -}}
{{- define "bookwheel.podSpec" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $component := index . 2 -}}
{{- $mountsLake := include "bookwheel.mountsLake" (list $root $component) -}}
serviceAccountName: {{ include "bookwheel.fullname" $root }}-{{ $name }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $component.terminationGracePeriodSeconds }}
securityContext: {{- include "bookwheel.podSecurity" 10001 | nindent 2 }}
{{- include "bookwheel.pullSecrets" $root }}
{{- include "bookwheel.placement" $component }}
{{- include "bookwheel.affinity" (list $root $component) }}
{{- if not (include "bookwheel.boundByLake" (list $root $component)) }}
topologySpreadConstraints: {{- include "bookwheel.spread" (list $root $name) | nindent 2 }}
{{- end }}
containers:
  - name: {{ $name }}
    image: {{ include "bookwheel.image" (list $root $component.image) }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: {{ toJson $component.args }}
    env: {{- include "bookwheel.environment" . | nindent 6 }}
    ports:
      {{- if hasKey $component "port" }}
      - {name: http, containerPort: {{ $component.port }}}
      {{- end }}
      {{- if eq (dig "metrics" "port" "" $component) "metrics" }}
      - {name: metrics, containerPort: {{ include "bookwheel.metricsPort" . }}}
      {{- end }}
    {{- include "bookwheel.probes" $component | nindent 4 }}
    {{- if gt (int $component.drainSeconds) 0 }}
    lifecycle:
      preStop: {sleep: {seconds: {{ $component.drainSeconds }}}}
    {{- end }}
    resources: {{- toYaml $component.resources | nindent 6 }}
    securityContext: {{- include "bookwheel.containerSecurity" $root | nindent 6 }}
    volumeMounts:
      {{- if eq $name "gateway" }}
      - {name: run, mountPath: /run/bookwheel}
      {{- else }}
      - {name: tmp, mountPath: /tmp}
      - {name: state, mountPath: /var/lib/bookwheel}
      {{- end }}
      {{- if $component.secrets }}
      - {name: secrets, mountPath: /run/bookwheel/secrets, readOnly: true}
      {{- end }}
      {{- if $component.signingKeys }}
      - {name: signing-keys, mountPath: /run/bookwheel/signing-keys, readOnly: true}
      {{- end }}
      {{- if $mountsLake }}
      - {name: lake, mountPath: /var/lib/bookwheel/data/lake}
      {{- end }}
volumes:
  {{- if eq $name "gateway" }}
  - {name: run, emptyDir: {}}
  {{- else }}
  - {name: tmp, emptyDir: {}}
  - {name: state, emptyDir: {}}
  {{- end }}
  {{- if $component.secrets }}
  {{- include "bookwheel.secretVolume" (list $root $component.secrets) | nindent 2 }}
  {{- end }}
  {{- if $component.signingKeys }}
  - name: signing-keys
    secret: {secretName: {{ include "bookwheel.signingKeysName" $root }}, defaultMode: 0440}
  {{- end }}
  {{- if $mountsLake }}
  - name: lake
    persistentVolumeClaim: {claimName: {{ include "bookwheel.fullname" $root }}-lake}
  {{- end }}
{{- end }}
