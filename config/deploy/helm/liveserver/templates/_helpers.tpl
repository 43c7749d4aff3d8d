{{- define "liveserver.name" -}}
{{- if contains "liveserver" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-liveserver" (.Release.Name | trunc 29 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "liveserver.secret" -}}
{{ .Values.secrets.existing | default (printf "%s-secrets" (include "liveserver.name" .)) }}
{{- end }}

{{/* Labels by which a role's pods are selected: (list $ "frontend") */}}
{{- define "liveserver.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: liveserver
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "liveserver.labels" -}}
{{- $root := index . 0 -}}
{{ include "liveserver.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* Settings as environment variables. A list is written as JSON, which is TOML too. */}}
{{- define "liveserver.settings" -}}
{{- range $section, $values := . }}
{{- range $name, $value := $values }}
- name: LIVESERVER_{{ upper $section }}__{{ upper $name }}
{{- if kindIs "string" $value }}
  value: {{ $value | quote }}
{{- else }}
  value: {{ $value | toJson | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The pod of a role: (list $ "frontend") */}}
{{- define "liveserver.pod" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $values := index $root.Values $role -}}
{{- $name := include "liveserver.name" $root -}}
{{- $dispatchers := printf "[\"dns+http://%s-dispatchers:8000\"]" $name -}}
metadata:
  labels:
    {{- include "liveserver.labels" . | nindent 4 }}
  annotations:
    checksum/secrets: {{ $root.Values.secrets | toJson | sha256sum }}
spec:
  # The drain, the lame duck before it, and time to end what is left.
  terminationGracePeriodSeconds: {{ add $root.Values.lameDuckSeconds $root.Values.drainSeconds 15 }}
  enableServiceLinks: false
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: { type: RuntimeDefault }
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{ toJson . }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{ toJson . }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "liveserver.selector" . | nindent 10 }}
  containers:
    - name: liveserver
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [run]
      env:
        - name: LIVESERVER_NODE__NAME
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        - name: LIVESERVER_NODE__ROLES
          value: '["{{ $role }}"]'
        - name: LIVESERVER_NODE__DATACENTER
          value: {{ $root.Values.datacenter | quote }}
        - name: LIVESERVER_NODE__LAME_DUCK
          value: "{{ $root.Values.lameDuckSeconds }}s"
        - name: LIVESERVER_NODE__DRAIN_TIMEOUT
          value: "{{ $root.Values.drainSeconds }}s"
        - name: LIVESERVER_LISTEN__PUBLIC
          value: 0.0.0.0:8000
        - name: LIVESERVER_LISTEN__OPS
          value: 0.0.0.0:9000
        - name: LIVESERVER_BUS__KIND
          value: redis
        - name: LIVESERVER_BUS__URL
          valueFrom: { secretKeyRef: { name: {{ include "liveserver.secret" $root }}, key: bus-url } }
        - name: LIVESERVER_AUTH__VIEWERS
          value: token
        - name: LIVESERVER_AUTH__SECRET_FILE
          value: /etc/liveserver/secrets/viewers-secret
        - name: LIVESERVER_AUTH__NODES_SECRET_FILE
          value: /etc/liveserver/secrets/nodes-secret
        - name: LIVESERVER_AUTH__OPS_KEY_FILE
          value: /etc/liveserver/secrets/ops-key
        {{- if eq $role "dispatcher" }}
        - name: LIVESERVER_AUTH__PUBLISHERS__SITE__KEY_FILE
          value: /etc/liveserver/secrets/publisher-key
        {{- else }}
        - name: LIVESERVER_{{ upper $role }}__DISPATCHERS
          value: {{ $dispatchers | quote }}
        {{- end }}
        {{- if eq $role "backend" }}
        - name: LIVESERVER_BACKEND__DATABASE
          valueFrom: { secretKeyRef: { name: {{ include "liveserver.secret" $root }}, key: database-url } }
        {{- end }}
        {{- include "liveserver.settings" $root.Values.settings | nindent 8 }}
        {{- include "liveserver.settings" $values.settings | nindent 8 }}
      ports:
        - { name: http, containerPort: 8000 }
        - { name: ops, containerPort: 9000 }
      startupProbe:
        httpGet: { path: /healthz, port: ops }
        periodSeconds: 1
        failureThreshold: 60
      # Red while it drains, and while it cannot deliver.
      readinessProbe:
        httpGet: { path: /readyz, port: ops }
        periodSeconds: 3
        failureThreshold: 2
        timeoutSeconds: 3
      # Only whether it runs: a Redis that is away is no reason to end what holds the viewers.
      livenessProbe:
        httpGet: { path: /healthz, port: ops }
        periodSeconds: 10
        failureThreshold: 6
        timeoutSeconds: 5
      resources: {{ toJson $values.resources }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: secrets, mountPath: /etc/liveserver/secrets, readOnly: true }
        - { name: tmp, mountPath: /tmp }
        - { name: data, mountPath: /var/lib/liveserver }
  volumes:
    - name: secrets
      secret:
        secretName: {{ include "liveserver.secret" $root }}
        defaultMode: 0440
    - name: tmp
      emptyDir: {}
    - name: data
      emptyDir: {}
{{- end }}
