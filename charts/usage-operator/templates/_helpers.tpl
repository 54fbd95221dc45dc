{{- define "usage-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "usage-operator.selector" -}}
app.kubernetes.io/name: usage-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "usage-operator.labels" -}}
{{ include "usage-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "usage-operator.image" -}}
{{ .image.repository }}:{{ .image.tag | default .appVersion }}
{{- end -}}

{{- define "usage-operator.namespaces" -}}
{{- if .Values.allNamespaces -}}*{{- else -}}{{ .Values.namespaces | default (list .Release.Namespace) | join "," }}{{- end -}}
{{- end -}}
